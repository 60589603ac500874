package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// WorkerFigures are what a scrape of a worker asks for.
type WorkerFigures struct {
	Slots, Used             int // of all pools; Used: the weights of running tasks
	Running, Waiting        int // tasks that run, leases that wait for a slot
	Outbox                  int // outcomes that aren't answered
	Connected               bool
	Started, Finished       uint64 // handlers
	Sent, Rejected, GivenUp uint64 // outcomes reported, those not accepted, leases given back when asked
	Reconnects              uint64
}

// workerLooker turns WorkerFigures into metrics.
type workerLooker struct{ look func() WorkerFigures }

// Describe implements prometheus.Collector: none described means that it isn't checked against descriptions.
func (*workerLooker) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (l *workerLooker) Collect(out chan<- prometheus.Metric) {
	f := l.look()
	gauge := func(name, help string, v int) { out <- metric(name, help, prometheus.GaugeValue, float64(v)) }
	counter := func(name, help string, v uint64) { out <- metric(name, help, prometheus.CounterValue, float64(v)) }
	gauge("yardmaster_worker_slots", "Slots of all pools.", f.Slots)
	gauge("yardmaster_worker_slots_used", "Slots that running tasks take.", f.Used)
	gauge("yardmaster_worker_running", "Tasks that run.", f.Running)
	gauge("yardmaster_worker_waiting", "Leases that wait for a slot.", f.Waiting)
	gauge("yardmaster_worker_outbox", "Outcomes that the coordinator hasn't answered.", f.Outbox)
	gauge("yardmaster_worker_connected", "1 if its stream is live.", int(oneIf(f.Connected)))
	counter("yardmaster_worker_started_total", "Handlers started.", f.Started)
	counter("yardmaster_worker_finished_total", "Handlers that have ended.", f.Finished)
	counter("yardmaster_worker_outcomes_total", "Outcomes reported, those included that were sent again.", f.Sent)
	counter("yardmaster_worker_outcomes_rejected_total", "Outcomes that were not accepted.", f.Rejected)
	counter("yardmaster_worker_given_up_total", "Leases not started that were given back when asked for.", f.GivenUp)
	counter("yardmaster_worker_reconnects_total", "Streams after the first.", f.Reconnects)
}

// WorkerHandler serves a worker's metrics; look is asked at each scrape.
func WorkerHandler(look func() WorkerFigures) http.Handler {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(&workerLooker{look}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return handler(r)
}
