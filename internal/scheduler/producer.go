package scheduler

// producer is a submitter's window of answers: what makes a repeated Submit harmless.
type producer struct {
	ProducerRow
	pos    int32  // in State.producerUse
	step   uint64 // that touched it last
	epoch  uint32
	stored bool
}

// admitProducer finds or makes the request's producer. done: the reply is complete (a repeat, or a refusal). The producer
// stays known, and its window moves on, even if the Submit is refused afterwards: that refusal answers the number, and the
// next request has a higher lowest.
func (s *State) admitProducer(c *Submit, r *Reply, eff *Effects) (p *producer, done bool) {
	if c.Number == 0 || c.Lowest == 0 || c.Lowest > c.Number || c.Number-c.Lowest >= ProducerWindow {
		r.Code = CodeProducerWindow
		return nil, true
	}
	p = s.producers[c.Producer]
	if p == nil {
		if c.Lowest != 1 {
			r.Code = CodeProducerWindow
			return nil, true
		}
		if !s.roomForProducer() {
			r.Code = CodeLimitProducers
			return nil, true
		}
		return s.newProducer(c.Producer), false
	}
	if c.Number < p.Lowest {
		r.Code = CodeProducerWindow
		return nil, true
	}
	s.useProducer(p)
	s.confirm(p, c.Lowest)
	for i := range p.Answers {
		if a := &p.Answers[i]; a.Number == c.Number {
			r.First, r.Count = a.First, a.Count
			ids, old := len(eff.IDs), len(eff.Indexes)
			eff.IDs = append(eff.IDs, a.IDs...)
			eff.Indexes = append(eff.Indexes, a.Old...)
			r.IDs, r.Old = Span{int32(ids), int32(len(eff.IDs))}, Span{int32(old), int32(len(eff.Indexes))}
			return p, true
		}
	}
	return p, false
}

// roomForProducer makes room by letting the least recently used one go, unless that was used within ProducerSafe.
func (s *State) roomForProducer() bool {
	if len(s.producers) < ProducersMax {
		return true
	}
	if oldest := s.producerUse.min(); oldest.LastUsed+ProducerSafe <= s.globals.Served {
		s.dropProducer(oldest)
		return true
	}
	return false
}

func (s *State) newProducer(id Hash128) *producer {
	s.globals.LastProducer++
	s.globals.LastUse++
	p := s.addProducer(ProducerRow{
		Row: s.globals.LastProducer, ID: id, Lowest: 1, LastUsed: s.globals.Served, Use: s.globals.LastUse,
	})
	s.touchProducer(p)
	return p
}

func (s *State) addProducer(row ProducerRow) *producer {
	p := &producer{ProducerRow: row}
	s.producers[p.ID] = p
	s.producerRows[p.Row] = p
	s.producerUse.push(p)
	return p
}

func (s *State) useProducer(p *producer) {
	s.touchProducer(p)
	s.globals.LastUse++
	p.Use, p.LastUsed = s.globals.LastUse, s.globals.Served
	s.producerUse.fix(p.pos)
}

// confirm forgets answers that the producer has.
func (s *State) confirm(p *producer, lowest uint64) {
	if lowest <= p.Lowest {
		return
	}
	p.Lowest = lowest
	n := 0
	for n < len(p.Answers) && p.Answers[n].Number < lowest {
		n++
	}
	rest := copy(p.Answers, p.Answers[n:])
	clear(p.Answers[rest:])
	p.Answers = p.Answers[:rest]
}

// remember keeps the answer to a request, in order of number.
func (s *State) remember(p *producer, number uint64, r *Reply, eff *Effects) {
	a := ProducerAnswer{Number: number, First: r.First, Count: r.Count}
	if r.IDs.From < r.IDs.To {
		a.IDs = append(a.IDs, eff.IDs[r.IDs.From:r.IDs.To]...)
		a.Old = append(a.Old, eff.Indexes[r.Old.From:r.Old.To]...)
	}
	i := len(p.Answers)
	p.Answers = append(p.Answers, a)
	for ; i > 0 && p.Answers[i-1].Number > number; i-- {
		p.Answers[i], p.Answers[i-1] = p.Answers[i-1], p.Answers[i]
	}
}

// expireProducers lets go of those unused for ProducerKeep, a bounded number a step.
func (s *State) expireProducers() {
	for n := 0; n < producersStepMax && s.producerUse.len() > 0; n++ {
		p := s.producerUse.min()
		if p.LastUsed+ProducerKeep > s.globals.Served {
			return
		}
		s.dropProducer(p)
	}
}

const producersStepMax = 100

func (s *State) dropProducer(p *producer) {
	s.rows++
	s.dropRow(TableProducers, p.Row, &p.epoch, p.stored)
	s.producerUse.remove(p.pos)
	delete(s.producers, p.ID)
	delete(s.producerRows, p.Row)
}
