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

// slotsText sums the pools: used of all. Leases sent ahead, beyond the slots, are not among the used.
func slotsText(pools []*yardmasterv1.WorkerPool) string {
	used, slots, _ := slotsOf(pools)
	return fmt.Sprintf("%d/%d", used, slots)
}

// slotsOf sums the pools. A pool in which more is taken than it has slots has the rest prefetched.
func slotsOf(pools []*yardmasterv1.WorkerPool) (used, slots, prefetched uint64) {
	for _, p := range pools {
		used += uint64(min(p.GetUsed(), p.GetSlots()))
		slots += uint64(p.GetSlots())
		prefetched += uint64(p.GetUsed() - min(p.GetUsed(), p.GetSlots()))
	}
	return used, slots, prefetched
}

// prefetchText sums what the pools have been sent ahead, of what they may be; "" if they don't prefetch.
func prefetchText(pools []*yardmasterv1.WorkerPool) string {
	_, _, prefetched := slotsOf(pools)
	most := uint64(0)
	for _, p := range pools {
		most += uint64(p.GetPrefetch())
	}
	if most == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", prefetched, most)
}

// protocolText is the protocol version that is spoken with a worker.
func protocolText(w *yardmasterv1.Worker) string {
	if w.GetProtocolVersion() == 0 {
		return ""
	}
	return fmt.Sprint(w.GetProtocolVersion())
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
