package scheduler

// A state that comes from a backup (GlobalsRow.Restoring) stands still: whatever the steps before OpRestored are, nothing
// in it fires, ends or is granted. OpRestored sets it going.
//
// What the lost cluster did after the backup is unknown: it may have handed out ids, tokens and positions, and its workers
// may still run. So every counter that leaves the process jumps by RestoreJump, far beyond what the lost cluster can have
// reached, and all sessions end. Their leases go back at no cost: nobody knows how they would have ended. Whatever a worker
// of the lost cluster reports then is refused, since its session is over and its tokens are nobody's. The answers kept for
// producers and keys stay, so that a repeated Submit stays harmless.

// Restoring reports whether the state comes from a backup and OpRestored wasn't applied yet.
func (s *State) Restoring() bool { return s.globals.Restoring }

// Restored reports whether nothing is left to do of a restore but what any end of sessions leaves.
func (s *State) Restored() bool { return !s.globals.Restoring && s.globals.EndThrough == 0 }

// jump carries out OpRestored at the end of its step, so that the positions of one step's events have no gap.
func (s *State) jump(eff *Effects) {
	g := &s.globals
	s.restored, g.Restoring, g.EndThrough = false, false, g.LastSession
	g.LastTask += TaskID(RestoreJump)
	g.LastToken += Token(RestoreJump)
	g.LastSession += SessionID(RestoreJump)
	g.LastPosition += RestoreJump
	eff.More = true
}

// endRestored ends the sessions that a restore found, in order of id, until the step has changed half the rows it may.
// Those that were ending already have their leases go back at no cost too. False: there are more.
func (s *State) endRestored(eff *Effects) bool {
	if s.globals.EndThrough == 0 {
		return true
	}
	for _, x := range s.sortedSessions() {
		if x.ID > s.globals.EndThrough {
			break
		}
		if x.Ending && len(x.EndStarted) == 0 && x.HeardTerm != 0 {
			continue // done, or its leases would go back at no cost anyhow
		}
		if s.rows >= StepRowsMax/2 {
			eff.More = true
			return false
		}
		s.endUncharged(x, eff)
	}
	s.globals.EndThrough = 0
	return true
}

// endUncharged ends a session whose leases go back at no cost.
func (s *State) endUncharged(x *session, eff *Effects) {
	s.touchSession(x)
	x.HeardTerm = s.globals.Term
	if x.Ending {
		x.EndStarted = nil
		return
	}
	s.endSession(x, nil, eff)
}
