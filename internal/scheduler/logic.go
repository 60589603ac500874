package scheduler

// Logic is the version of the rules in force; 0: not known yet, the first entry says.
func (s *State) Logic() uint32 { return s.globals.Logic }

// checkLogic halts on an entry that wants other rules than those in force. The first entry of an empty log says which they
// are.
func (s *State) checkLogic(version uint32) {
	if version == 0 || version > LogicVersion {
		panic("scheduler: log entry wants logic version " + utoa(uint64(version)) + ", this build knows 1 to " +
			utoa(uint64(LogicVersion)) + ": use the build that wrote it")
	}
	if s.globals.Logic == 0 {
		s.globals.Logic = version
	}
	if version != s.globals.Logic {
		panic("scheduler: log entry wants logic version " + utoa(uint64(version)) + ", " + utoa(uint64(s.globals.Logic)) + " is in force")
	}
}

// since halts on a command that the rules in force don't have: no build proposes it.
func (s *State) since(version uint32, op Op) {
	if s.globals.Logic < version {
		panic("scheduler: command " + utoa(uint64(op)) + " came with logic version " + utoa(uint64(version)) + ", " +
			utoa(uint64(s.globals.Logic)) + " is in force")
	}
}

// setLogic changes the rules from the next entry on: the rest of this one goes on by the old ones.
func (s *State) setLogic(c *SetLogic) {
	if c.Logic <= s.globals.Logic || c.Logic > LogicVersion {
		panic("scheduler: logic version " + utoa(uint64(c.Logic)) + " after " + utoa(uint64(s.globals.Logic)))
	}
	s.nextLogic = c.Logic
}
