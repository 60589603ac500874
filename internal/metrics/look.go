package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Look returns a coordinator's figures as they are now. It is called at each scrape and must be cheap in the backlog.
type Look func() Figures

// Figures are what a scrape of a coordinator asks for.
type Figures struct {
	Leading bool
	Queues  []Queue

	Leases                       int
	SessionsAttached, SessionsNo int // attached, and in all

	Submitted, Granted, Returned uint64            // since start
	Outcomes                     map[string]uint64 // since start, by outcome: "succeeded", "dead", …
	Causes                       map[string]uint64 // since start: failed attempts by cause

	Term, AppliedIndex, CheckpointIndex uint64
	LastPosition                        uint64
	LogTailEntries                      uint64
	StoreBytes, StoreFreeBytes          uint64
	StoreFreelistBytes                  uint64
	StoreFinished, StoreBodies          uint64
	DiskFree, DiskReserve               uint64
	MaxTasks                            uint64
}

// Queue is a queue's figures.
type Queue struct {
	Name                             string
	Paused                           bool
	Scheduled, Pending, Leased, Dead uint64
	DepthLimit                       uint64
	Oldest                           time.Duration // age of the longest waiting of the tasks next in line
	Submitted, Ended                 uint64        // since start
}

// looker turns Figures into metrics.
type looker struct {
	look        Look
	coordinator *Coordinator
}

// Describe implements prometheus.Collector: none described means that it isn't checked against descriptions.
func (*looker) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (l *looker) Collect(out chan<- prometheus.Metric) {
	f := l.look()
	for i := range f.Queues {
		collectQueue(&f.Queues[i], out)
	}
	gauge := func(name, help string, v float64) { out <- metric(name, help, prometheus.GaugeValue, v) }
	counter := func(name, help string, v uint64) { out <- metric(name, help, prometheus.CounterValue, float64(v)) }

	gauge("yardmaster_leading", "1 if this coordinator leads and serves.", oneIf(f.Leading))
	gauge("yardmaster_leases", "Tokens that occupy slots of workers.", float64(f.Leases))
	gauge("yardmaster_sessions", "Sessions of workers.", float64(f.SessionsNo))
	gauge("yardmaster_sessions_attached", "Sessions that are given work.", float64(f.SessionsAttached))
	counter("yardmaster_tasks_submitted_total", "Tasks stored.", f.Submitted)
	counter("yardmaster_tasks_granted_total", "Leases granted.", f.Granted)
	counter("yardmaster_tasks_returned_total", "Leases that went back to their queue at no cost.", f.Returned)
	collectMap("yardmaster_outcomes_total", "Ends of tasks, and outcomes that were rejected.", "outcome", f.Outcomes, out)
	collectMap("yardmaster_failed_attempts_total", "Attempts that failed or were lost, by cause.", "cause", f.Causes, out)
	gauge("yardmaster_term", "Term of the leader.", float64(f.Term))
	gauge("yardmaster_applied_index", "Index of the last applied log entry.", float64(f.AppliedIndex))
	gauge("yardmaster_checkpoint_index", "Log index that the checkpoint holds.", float64(f.CheckpointIndex))
	gauge("yardmaster_checkpoint_age_seconds", "Time since the last checkpoint was saved.", l.coordinator.checkpointAge().Seconds())
	gauge("yardmaster_last_position", "Position of the last event.", float64(f.LastPosition))
	gauge("yardmaster_log_tail_entries", "Log entries that a start would read again.", float64(f.LogTailEntries))
	gauge("yardmaster_store_bytes", "Size of the checkpoint file.", float64(f.StoreBytes))
	gauge("yardmaster_store_free_bytes", "Space in the checkpoint file that is free for use.", float64(f.StoreFreeBytes))
	gauge("yardmaster_store_freelist_bytes", "Size of the list of free pages that each commit writes.", float64(f.StoreFreelistBytes))
	gauge("yardmaster_store_finished_tasks", "Finished tasks kept, dead letters included.", float64(f.StoreFinished))
	gauge("yardmaster_store_bodies", "Bodies kept: of live tasks and dead letters.", float64(f.StoreBodies))
	gauge("yardmaster_disk_free_bytes", "Free space on the data directory's file system.", float64(f.DiskFree))
	gauge("yardmaster_disk_reserve_bytes", "Submits are refused below this free space.", float64(f.DiskReserve))
	gauge("yardmaster_max_tasks", "The most non-terminal tasks that the cluster holds.", float64(f.MaxTasks))
}

func collectQueue(q *Queue, out chan<- prometheus.Metric) {
	for _, s := range []struct {
		state string
		n     uint64
	}{{"scheduled", q.Scheduled}, {"pending", q.Pending}, {"leased", q.Leased}, {"dead", q.Dead}} {
		out <- prometheus.MustNewConstMetric(queueTasks, prometheus.GaugeValue, float64(s.n), q.Name, s.state)
	}
	out <- prometheus.MustNewConstMetric(queueDepthLimit, prometheus.GaugeValue, float64(q.DepthLimit), q.Name)
	out <- prometheus.MustNewConstMetric(queuePaused, prometheus.GaugeValue, oneIf(q.Paused), q.Name)
	out <- prometheus.MustNewConstMetric(queueOldest, prometheus.GaugeValue, q.Oldest.Seconds(), q.Name)
	out <- prometheus.MustNewConstMetric(queueSubmitted, prometheus.CounterValue, float64(q.Submitted), q.Name)
	out <- prometheus.MustNewConstMetric(queueEnded, prometheus.CounterValue, float64(q.Ended), q.Name)
}

var (
	queueTasks      = prometheus.NewDesc("yardmaster_queue_tasks", "Tasks of a queue, by state.", []string{"queue", "state"}, nil)
	queueDepthLimit = prometheus.NewDesc("yardmaster_queue_depth_limit", "The most non-terminal tasks that a queue may hold.", []string{"queue"}, nil)
	queuePaused     = prometheus.NewDesc("yardmaster_queue_paused", "1 if grants from the queue are stopped.", []string{"queue"}, nil)
	queueOldest     = prometheus.NewDesc("yardmaster_queue_oldest_pending_seconds", "Age of the longest waiting of the tasks next in line.", []string{"queue"}, nil)
	queueSubmitted  = prometheus.NewDesc("yardmaster_queue_submitted_total", "Tasks stored in a queue.", []string{"queue"}, nil)
	queueEnded      = prometheus.NewDesc("yardmaster_queue_ended_total", "Tasks of a queue that ended.", []string{"queue"}, nil)
)

func metric(name, help string, kind prometheus.ValueType, v float64) prometheus.Metric {
	return prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), kind, v)
}

func collectMap(name, help, label string, values map[string]uint64, out chan<- prometheus.Metric) {
	desc := prometheus.NewDesc(name, help, []string{label}, nil)
	keys := make([]string, 0, len(values))
	for k := range values {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(values[k]), k)
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
