package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newWorker(a *app) *cobra.Command {
	return newNoun("worker", "Show workers and what they hold", newWorkerList(a), newWorkerGet(a))
}

func workerState(w *yardmasterv1.Worker) string {
	return strings.ToLower(strings.TrimPrefix(w.GetState().String(), "STATE_"))
}

// slotsText sums the pools: used of all.
func slotsText(pools []*yardmasterv1.WorkerPool) string {
	var used, slots uint64
	for _, p := range pools {
		used += uint64(p.GetUsed())
		slots += uint64(p.GetSlots())
	}
	return fmt.Sprintf("%d/%d", used, slots)
}

// heardText says when the leader last heard of a worker.
func heardText(w *yardmasterv1.Worker) string {
	if w.GetLastHeard() == nil {
		return "not yet"
	}
	return span(w.GetLastHeard().AsDuration()) + " ago"
}

// queuesText lists the queues that a worker serves; none means every one.
func queuesText(w *yardmasterv1.Worker) string {
	if len(w.GetQueues()) == 0 {
		return "all"
	}
	return strings.Join(w.GetQueues(), ",")
}

// poolKinds lists a pool's kinds. The first pool runs those too that none names.
func poolKinds(position int, p *yardmasterv1.WorkerPool) string {
	kinds := p.GetKinds()
	if position == 0 {
		kinds = append(slices.Clone(kinds), "others")
	}
	return strings.Join(kinds, ",")
}
