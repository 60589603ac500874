package workercore

// outbox holds the outcomes without an answer, in the order in which they came up. The number of the i-th is
// answered + 1 + i: outcomes leave only at the front, so a number stays with its outcome over any number of streams, and
// a new session begins with answered = 0.
type outbox struct {
	ring     []*record // length a power of two
	head     int
	n        int
	bytes    int    // Invariant: the sum of the outcomes' sizes
	answered uint64 // number of the last answered outcome of this session
	sent     int    // the first ones, that were sent on this stream
	numbered int    // the first ones, that were sent in this session. Invariant: sent <= numbered <= min(n, OutboxMax)
}

func (o *outbox) at(i int) *record { return o.ring[(o.head+i)&(len(o.ring)-1)] }

func (o *outbox) push(r *record) {
	if o.n == len(o.ring) {
		o.grow()
	}
	o.ring[(o.head+o.n)&(len(o.ring)-1)] = r
	o.n++
	o.bytes += r.outcome.Size
}

// pop takes the first one out: it has its answer.
func (o *outbox) pop() *record {
	r := o.ring[o.head]
	o.ring[o.head] = nil
	o.head = (o.head + 1) & (len(o.ring) - 1)
	o.n--
	o.answered++
	o.sent = max(o.sent-1, 0) // the answer may come on a later stream, before it was sent there again
	o.numbered--
	o.bytes -= r.outcome.Size
	return r
}

func (o *outbox) grow() {
	ring := make([]*record, max(64, 2*len(o.ring)))
	for i := range o.n {
		ring[i] = o.at(i)
	}
	o.ring, o.head = ring, 0
}

// unsent reports whether there is an outcome that may go out on this stream.
func (o *outbox) unsent() bool { return o.sent < min(o.n, OutboxMax) }

// send takes note that one more was sent.
func (o *outbox) send() {
	o.sent++
	o.numbered = max(o.numbered, o.sent)
}

// full reports whether no task may be started.
func (o *outbox) full() bool { return o.n >= OutboxMax || o.bytes >= OutboxBytesMax }
