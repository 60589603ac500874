package main

import (
	"time"

	"github.com/yardmaster/yardmaster/internal/metrics"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// figures is what a scrape of /metrics asks for.
func (s *server) figures() metrics.Figures {
	n := s.node
	st, disk, log := n.engine.Status(), n.store.Stats(), n.log.Stats()
	t := &st.Totals
	f := metrics.Figures{
		Leading: st.Leading, Leases: st.Counts.Leases, SessionsNo: st.Counts.Sessions, SessionsAttached: st.Counts.Attached,
		Submitted: t.Submitted, Granted: t.Granted, Returned: t.Returned,
		Outcomes: map[string]uint64{
			"succeeded": t.Succeeded, "dead": t.Dead, "cancelled": t.Cancelled, "expired": t.Expired, "rejected": t.RejectedOutcomes,
		},
		Causes: map[string]uint64{},
		Term:   st.Term, AppliedIndex: st.AppliedIndex, CheckpointIndex: st.CheckpointIndex, LastPosition: st.LastPosition,
		LogTailEntries: log.TailEntries,
		StoreBytes:     uint64(max(disk.FileBytes, 0)), StoreFreeBytes: uint64(max(disk.FreeBytes, 0)),
		StoreFreelistBytes: uint64(max(disk.FreelistBytes, 0)), StoreFinished: disk.Finished, StoreBodies: disk.Bodies,
		DiskFree: st.DiskFree, DiskReserve: s.config.diskReserve, MaxTasks: st.Limits.MaxTasks,
	}
	for cause, count := range t.Causes {
		if c := scheduler.Cause(cause); c != scheduler.CauseNone {
			f.Causes[c.String()] = count
		}
	}
	for _, q := range n.engine.Queues() {
		m := metrics.Queue{
			Name: q.Name, Paused: q.Paused, Scheduled: q.Scheduled, Pending: q.Pending, Leased: q.Leased, Dead: q.Dead,
			DepthLimit: q.DepthLimit, Submitted: q.Submitted, Ended: q.Ended,
		}
		if q.OldestPending != 0 {
			m.Oldest = max(0, time.Duration(st.Now-q.OldestPending))
		}
		f.Queues = append(f.Queues, m)
	}
	return f
}
