package metrics

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Coordinator gathers what a coordinator measures. Its methods may be called from any goroutine; none blocks.
type Coordinator struct {
	registry *prometheus.Registry
	now      func() time.Time

	batchCommands  prometheus.Histogram
	batchRows      prometheus.Histogram
	batchBytes     prometheus.Histogram
	commit         prometheus.Histogram
	appends        prometheus.Histogram
	checkpoint     prometheus.Histogram
	checkpointRows prometheus.Counter
	stall          prometheus.Counter
	stalls         prometheus.Counter
	refused        *prometheus.CounterVec
	saved          atomic.Int64 // when the last checkpoint was saved, in nanoseconds since the Unix epoch
}

// latencyBuckets reach from a fast disk's fsync to a stalled one's.
var latencyBuckets = []float64{.0001, .0002, .0004, .0008, .0016, .0032, .0064, .0128, .0256, .0512, .1, .2, .5, 1, 2, 5}

// NewCoordinator returns a registry of a coordinator's metrics. look is asked at each scrape; now reads the clock.
func NewCoordinator(look Look, now func() time.Time) *Coordinator {
	c := &Coordinator{registry: prometheus.NewPedanticRegistry(), now: now}
	c.saved.Store(now().UnixNano())
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
		c.registry.MustRegister(h)
		return h
	}
	counter := func(name, help string) prometheus.Counter {
		n := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		c.registry.MustRegister(n)
		return n
	}
	c.batchCommands = histogram("yardmaster_batch_commands", "Commands in a log entry.", prometheus.ExponentialBuckets(1, 2, 13))
	c.batchRows = histogram("yardmaster_batch_rows", "Rows that a log entry's commands may change, as estimated.", prometheus.ExponentialBuckets(1, 2, 14))
	c.batchBytes = histogram("yardmaster_batch_bytes", "Size of a log entry.", prometheus.ExponentialBuckets(128, 4, 10))
	c.commit = histogram("yardmaster_commit_seconds", "From the proposal of a log entry until it is durable and applied.", latencyBuckets)
	c.appends = histogram("yardmaster_log_append_seconds", "One append to the log, its fsync included.", latencyBuckets)
	c.checkpoint = histogram("yardmaster_checkpoint_seconds", "Saving a checkpoint.", latencyBuckets)
	c.checkpointRows = counter("yardmaster_checkpoint_rows_total", "Rows written by checkpoints.")
	c.stall = counter("yardmaster_checkpoint_stall_seconds_total", "Time that submits and outcomes waited for a checkpoint.")
	c.stalls = counter("yardmaster_checkpoint_stalls_total", "How often submits or outcomes waited for a checkpoint.")
	c.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "yardmaster_refusals_total", Help: "Requests refused, by method and reason.",
	}, []string{"method", "reason"})
	c.registry.MustRegister(c.refused, &looker{look: look, coordinator: c},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return c
}

// Handler serves the metrics.
func (c *Coordinator) Handler() http.Handler { return handler(c.registry) }

func handler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4, EnableOpenMetrics: true})
}

// Batch notes a log entry that was proposed.
func (c *Coordinator) Batch(commands, rows, bytes int) {
	c.batchCommands.Observe(float64(commands))
	c.batchRows.Observe(float64(rows))
	c.batchBytes.Observe(float64(bytes))
}

// Commit notes how long a log entry took from its proposal to its effects.
func (c *Coordinator) Commit(took time.Duration) { c.commit.Observe(took.Seconds()) }

// Append notes one append to the log.
func (c *Coordinator) Append(_, _ int, took time.Duration) { c.appends.Observe(took.Seconds()) }

// Checkpoint notes a checkpoint that was saved.
func (c *Coordinator) Checkpoint(rows int, took time.Duration) {
	c.saved.Store(c.now().UnixNano())
	c.checkpoint.Observe(took.Seconds())
	c.checkpointRows.Add(float64(rows))
}

// checkpointAge is the time since the last checkpoint, or since the start.
func (c *Coordinator) checkpointAge() time.Duration {
	return max(0, time.Duration(c.now().UnixNano()-c.saved.Load()))
}

// Stall notes that submits or outcomes waited for a checkpoint.
func (c *Coordinator) Stall(took time.Duration) {
	c.stalls.Inc()
	c.stall.Add(took.Seconds())
}

// Refused notes a request that was refused.
func (c *Coordinator) Refused(method, reason string) { c.refused.WithLabelValues(method, reason).Inc() }
