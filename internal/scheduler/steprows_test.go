package scheduler

// stepRows applies an empty step and returns how many rows it changed, told by the dirt, not by the core's own count.
func (h *harness) stepRows() int {
	h.t.Helper()
	var rows []Row
	for c, done := h.s.Seal(), false; !done; {
		rows, done = h.s.Collect(c, 1<<20, rows[:0])
	}
	h.apply(Command{Op: OpTick})
	distinct := map[rowRef]bool{}
	for table := range h.s.dirt.changed {
		for _, keys := range [][]uint64{h.s.dirt.changed[table], h.s.dirt.dropped[table]} {
			for _, k := range keys {
				distinct[rowRef{Table(table), k}] = true
			}
		}
	}
	return len(distinct)
}
