//go:build linux

package execrun

import "slices"

// claim is a task in lineage's eyes. Its pid stays its own, as process, group
// and session id, as long as it claims: the helper reaps it last.
type claim struct {
	run   uint64
	pid   int    // 0 while it is being started
	start uint64 // of pid
	ended bool   // its first process has exited: what it left is being killed
}

// helperRun is the run number in the helper's own marker. A process that
// carries it is a task between fork and exec.
const helperRun = 0

// nobody owns a stray whose possible owners have all ended: it is killed.
const nobody = ^uint64(0)

// lineage knows which task each descendant of the helper belongs to. It is
// pure: the process table and the environment are handed to it.
type lineage struct {
	// owners of everything seen at the last look, so that a process which
	// loses parent, group and environment later stays known.
	owners map[processID]uint64
	// strays are those that no sign gave away, each with the tasks still
	// running that it may belong to: those that were there when it was first
	// seen and started no later than it.
	strays map[processID][]uint64
}

// update takes in a look: the descendants of self, parents first, the tasks
// that run or are being cleaned up, and a way to a process's marker.
// Afterwards owners has everything of them but processes before exec and
// strays that several tasks may have left.
func (l *lineage) update(self int, found []process, claims []claim, marker func(pid int) (run uint64, ok bool)) {
	owners := make(map[processID]uint64, len(found))
	strays := make(map[processID][]uint64)
	pids := make(map[int]processID, len(found))
	for _, p := range found {
		pids[p.pid] = p.id()
		parent := pids[p.ppid] // the zero ID for a child of self
		if run, ok := l.sign(p, owners, parent, claims, marker); ok {
			if run != helperRun {
				owners[p.id()] = run
			}
			continue
		}
		suspects := possible(p, claims)
		earlier, seen := l.strays[p.id()]
		if !seen {
			earlier, seen = strays[parent]
		}
		if seen {
			suspects = slices.DeleteFunc(suspects, func(run uint64) bool { return !slices.Contains(earlier, run) })
		}
		switch len(suspects) {
		case 0:
			owners[p.id()] = nobody
		case 1:
			owners[p.id()] = suspects[0]
		default:
			strays[p.id()] = suspects
		}
	}
	l.owners, l.strays = owners, strays
}

// sign looks for what gives p's task away, the surest first.
func (l *lineage) sign(p process, owners map[processID]uint64, parent processID, claims []claim, marker func(int) (uint64, bool)) (uint64, bool) {
	for _, c := range claims {
		if c.pid != 0 && (p.pid == c.pid || p.sid == c.pid || p.pgid == c.pid) {
			return c.run, true
		}
	}
	if run, ok := l.owners[p.id()]; ok {
		if run != nobody && !claimed(claims, run) {
			run = nobody // its task was given up with this straggler
		}
		return run, true
	}
	if run, ok := owners[parent]; ok {
		return run, true
	}
	if run, ok := marker(p.pid); ok && (run == helperRun || claimed(claims, run)) {
		return run, true
	}
	return 0, false
}

// possible returns the running tasks that may have started p.
func possible(p process, claims []claim) []uint64 {
	var runs []uint64
	for _, c := range claims {
		if !c.ended && (c.pid == 0 || c.start <= p.start) {
			runs = append(runs, c.run)
		}
	}
	return runs
}

func claimed(claims []claim, run uint64) bool {
	return slices.ContainsFunc(claims, func(c claim) bool { return c.run == run })
}
