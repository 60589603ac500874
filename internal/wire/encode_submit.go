package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func (w *writer) submitStreamRequest(m *yardmasterv1.SubmitStreamRequest) {
	w.plain(m)
	if x := m.GetSubmit(); x != nil {
		from := w.size()
		w.submitRequest(x)
		w.close(1, from)
	}
}

func (w *writer) submitRequest(m *yardmasterv1.SubmitRequest) {
	w.plain(m)
	if p := m.GetProducer(); p != nil {
		from := w.size()
		w.plain(p)
		w.uint(3, p.LowestUnanswered)
		w.uint(2, p.Number)
		w.bytes(1, p.Id)
		w.close(2, from)
	}
	for i := len(m.GetTasks()) - 1; i >= 0; i-- {
		from := w.size()
		w.taskSpec(m.Tasks[i])
		w.close(1, from)
	}
}

func (w *writer) taskSpec(m *yardmasterv1.TaskSpec) {
	if m == nil {
		return
	}
	w.plain(m)
	w.text(16, m.IdempotencyKey)
	w.span(15, m.DeadRetention)
	w.span(14, m.Retention)
	w.labels(13, m.Require)
	w.labels(12, m.Labels)
	w.retryPolicy(11, m.Retry)
	w.span(10, m.AttemptTimeout)
	w.time(9, m.Deadline)
	w.time(8, m.StartBy)
	w.span(7, m.Delay)
	w.time(6, m.NotBefore)
	w.uint(5, uint64(m.Weight))
	w.uint(4, protowire.EncodeZigZag(int64(m.Priority)))
	w.bytes(3, m.Payload)
	w.text(2, m.Queue)
	w.text(1, m.Kind)
}

func (w *writer) retryPolicy(num protowire.Number, m *yardmasterv1.RetryPolicy) {
	if m == nil {
		return
	}
	from := w.size()
	w.plain(m)
	w.span(5, m.BackoffMax)
	w.uint(4, uint64(m.BackoffFactor))
	w.span(3, m.Backoff)
	w.uint(2, uint64(m.MaxWorkerLosses))
	w.uint(1, uint64(m.MaxAttempts))
	w.close(num, from)
}

func (w *writer) submitStreamResponse(m *yardmasterv1.SubmitStreamResponse) {
	w.plain(m)
	switch x := m.GetAnswer().(type) {
	case *yardmasterv1.SubmitStreamResponse_Stored:
		from := w.size()
		w.submitResponse(x.Stored)
		w.close(1, from)
	case nil:
	default:
		w.spoilt = true // a refusal
	}
}

func (w *writer) submitResponse(m *yardmasterv1.SubmitResponse) {
	w.plain(m)
	numbersTo(w, 2, m.GetExisting())
	numbersTo(w, 1, m.GetTaskIds())
}
