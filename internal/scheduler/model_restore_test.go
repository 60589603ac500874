package scheduler

// jump is OpRestored.
func (m *model) jump() {
	m.restored, m.g.Restoring, m.g.EndThrough = false, false, m.g.LastSession
	m.g.LastTask += 1 << 32
	m.g.LastToken += 1 << 32
	m.g.LastSession += 1 << 32
	m.g.LastPosition += 1 << 32
	m.eff.More = true
}

func (m *model) endRestored() {
	for _, x := range sorted(m.sessions) {
		if x.ID > m.g.EndThrough {
			break
		}
		ending := x.Ending
		x.HeardTerm, x.EndStarted = m.g.Term, nil
		if !ending {
			m.end(x, nil)
		}
	}
	m.g.EndThrough = 0
}
