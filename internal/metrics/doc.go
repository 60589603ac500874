// Package metrics says in Prometheus' words what the coordinator and the worker measure. [Coordinator] is told some of it as
// it happens (it is the engine's Meter) and asks for the rest when it is scraped, so that a scrape is one consistent look and
// costs the hot path nothing.
//
// Names begin with yardmaster_ (workers: yardmaster_worker_), times are in seconds, sizes in bytes. Labels have few values:
// queues (at most 1,000), states, outcomes, causes, reasons of refusal. Tasks, workers and sessions are no labels.
package metrics
