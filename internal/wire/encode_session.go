package wire

import yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"

func (w *writer) sessionRequest(m *yardmasterv1.SessionRequest) {
	w.plain(m)
	from := w.size()
	switch x := m.GetMessage().(type) {
	case *yardmasterv1.SessionRequest_Started:
		w.plain(x.Started)
		numbersTo(w, 1, x.Started.GetTokens())
		w.close(4, from)
	case *yardmasterv1.SessionRequest_Outcomes:
		w.outcomeList(x.Outcomes)
		w.close(5, from)
	case nil:
	default:
		w.spoilt = true // not one that comes in masses
		return
	}
	w.uint(2, m.GetAnswersThrough())
	w.uint(1, m.GetReceivedThrough())
}

func (w *writer) outcomeList(m *yardmasterv1.Outcomes) {
	w.plain(m)
	list := m.GetOutcomes()
	for i := len(list) - 1; i >= 0; i-- {
		from := w.size()
		w.outcome(list[i])
		w.close(2, from)
	}
	w.uint(1, m.GetFirstSeq())
}

func (w *writer) outcome(m *yardmasterv1.AttemptOutcome) {
	if m == nil {
		return
	}
	w.plain(m)
	w.span(7, m.RunTime)
	from := w.size()
	switch x := m.Kind.(type) {
	case *yardmasterv1.AttemptOutcome_Succeeded:
		w.plain(x.Succeeded)
		w.bytes(1, x.Succeeded.GetResult())
		w.close(3, from)
	case *yardmasterv1.AttemptOutcome_Failed:
		w.generated(4, x.Failed)
	case *yardmasterv1.AttemptOutcome_Cancelled:
		w.generated(5, x.Cancelled)
	case *yardmasterv1.AttemptOutcome_Interrupted:
		w.generated(6, x.Interrupted)
	case nil:
	default:
		w.spoilt = true
	}
	w.uint(2, m.TaskId)
	w.uint(1, m.Token)
}

func (w *writer) sessionResponse(m *yardmasterv1.SessionResponse) {
	w.plain(m)
	from := w.size()
	switch x := m.GetMessage().(type) {
	case *yardmasterv1.SessionResponse_Grants:
		w.grants(x.Grants)
		w.close(2, from)
	case *yardmasterv1.SessionResponse_OutcomeAck:
		w.outcomeAck(x.OutcomeAck)
		w.close(3, from)
	case nil:
	default:
		w.spoilt = true // not one that comes in masses
	}
}

func (w *writer) grants(m *yardmasterv1.Grants) {
	w.plain(m)
	list := m.GetLeases()
	for i := len(list) - 1; i >= 0; i-- {
		from := w.size()
		w.lease(list[i])
		w.close(2, from)
	}
	w.uint(1, m.GetSeq())
}

func (w *writer) lease(m *yardmasterv1.TaskLease) {
	if m == nil {
		return
	}
	w.plain(m)
	w.uint(14, uint64(m.Generation))
	w.labels(13, m.Labels)
	w.span(12, m.StartWithin)
	w.span(11, m.DeadlineIn)
	w.span(10, m.AttemptTimeout)
	w.text(9, m.Pool)
	w.uint(8, uint64(m.Weight))
	w.uint(7, uint64(m.MaxAttempts))
	w.uint(6, uint64(m.Attempt))
	w.bytes(5, m.Payload)
	w.text(4, m.Queue)
	w.text(3, m.Kind)
	w.uint(2, m.TaskId)
	w.uint(1, m.Token)
}

func (w *writer) outcomeAck(m *yardmasterv1.OutcomeAck) {
	w.plain(m)
	list := m.GetRejected()
	for i := len(list) - 1; i >= 0; i-- {
		from := w.size()
		if x := list[i]; x != nil {
			w.plain(x)
			w.uint(3, uint64(x.Code))
			w.uint(2, x.Token)
			w.uint(1, x.Seq)
		}
		w.close(2, from)
	}
	w.uint(1, m.GetThroughSeq())
}
