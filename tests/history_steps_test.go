package tests

// What clients may be answered of a task in a state, and what that leaves.

// look is Get and Await: what they tell is how the task is.
func (h *histTask) look(s histState, op *histOp) []histState {
	switch op.Answer {
	case histUnknownID:
		return only(s, s.phase == "")
	case histForgotten:
		return only(s, s.phase == histForgotten)
	}
	if !s.there() || op.Attempts < s.attempts || op.Attempts > h.Max || op.Kind == histGet && op.Gen != s.gen {
		return nil
	}
	s.attempts = op.Attempts
	switch op.Answer {
	case histReady:
		return only(s, s.phase == histReady && !op.Asked)
	case histLeased:
		if s.phase == histReady && !op.Asked || s.phase == histLeased && s.token == 0 && s.asked == op.Asked {
			return only(s.lease(op.Token), op.Token > s.top) // a grant that no worker has told of
		}
		return only(s, s.phase == histLeased && s.token == op.Token && s.asked == op.Asked)
	}
	return only(s, s.phase == op.Answer && s.won == op.Token && s.lost == op.Lost)
}

func cancelStep(s histState, op *histOp) []histState {
	asked := s
	if s.phase == histReady {
		asked = s.lease(0) // by a grant that no worker has told of
	}
	asked.asked = true
	switch op.Answer {
	case histDone:
		return only(s.end(histCancelled, 0), s.phase == histReady || s.phase == histLeased && op.Force)
	case histRequested:
		return only(asked, s.live() && !op.Force)
	case histEnded:
		return only(s, s.ended())
	case histMissing:
		return only(s, !s.there())
	case histOpen:
		switch {
		case !s.live():
			return []histState{s}
		case op.Force:
			return []histState{s.end(histCancelled, 0)}
		case s.phase == histReady:
			return []histState{s.end(histCancelled, 0), asked}
		}
		return []histState{asked}
	}
	return nil
}

func retryStep(s histState, op *histOp) []histState {
	switch op.Answer {
	case histDone, histOpen:
		if s.phase == histDead {
			return []histState{{id: s.id, phase: histReady, gen: s.gen + 1, top: s.top}}
		}
		return only(s, op.Answer == histOpen)
	case histNotDead:
		return only(s, s.there() && s.phase != histDead)
	}
	return only(s, op.Answer == histMissing && !s.there())
}

func deleteStep(s histState, op *histOp) []histState {
	switch op.Answer {
	case histDone, histOpen:
		if s.ended() {
			return []histState{{id: s.id, phase: histForgotten, gen: s.gen, top: s.top}}
		}
		return only(s, op.Answer == histOpen)
	case histNotEnded:
		return only(s, s.live())
	}
	return only(s, op.Answer == histMissing && !s.there())
}
