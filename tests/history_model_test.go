package tests

import (
	"fmt"
	"math"

	"github.com/anishathalye/porcupine"
)

// Kinds of operations of a history.
const (
	histSubmit  = "submit"  // by a client
	histGet     = "get"     // likewise, as all to delete
	histAwait   = "await"   //
	histCancel  = "cancel"  //
	histRetry   = "retry"   //
	histDelete  = "delete"  //
	histListed  = "listed"  // the task stood in a listing
	histGrant   = "grant"   // a worker received the lease; it was given at some time before
	histOutcome = "outcome" // a worker reported the end of an attempt
)

// Answers. Those of get, await and the codes of cancel, retry and delete are words made of the contract's names.
const (
	histOpen      = "" // none came: the operation may have had its effect, may have it yet, or never
	histStored    = "stored"
	histForgotten = "forgotten" // NOT_FOUND, OUTCOME_NOT_RETAINED
	histUnknownID = "no such task"
	histDone      = "done"
	histRequested = "requested"
	histEnded     = "already terminal"
	histMissing   = "not found"
	histNotDead   = "not dead"
	histNotEnded  = "not terminal"
	histAccepted  = "accepted"
	histFenced    = "fenced"
	histGone      = "gone"
)

// States of a task as get and await tell them; what waits or is ready is one state here, and so is what is leased or runs.
const (
	histReady     = "ready"
	histLeased    = "leased"
	histSucceeded = "succeeded"
	histDead      = "dead"
	histCancelled = "cancelled"
)

// Outcomes as workers report them.
const (
	histFails       = "failed"
	histPermanent   = "permanent"
	histInterrupted = "interrupted"
)

// histOp is one operation of a history, as whoever did it saw it.
type histOp struct {
	Kind   string
	Client int   // who did it
	Call   int64 // nanoseconds of one monotonic clock, not after it began
	Return int64 // not before it ended; without a bound if Answer is histOpen
	Answer string

	Task     uint64 `json:",omitempty"` // submit: as answered
	Token    uint64 `json:",omitempty"` // grant, outcome; get and await: the lease's, or the accepted outcome's
	Gen      uint32 `json:",omitempty"` // grant, get
	Attempts uint32 `json:",omitempty"` // grant: spent before; get, await: spent
	Asked    bool   `json:",omitempty"` // get: its cancellation was asked for
	Force    bool   `json:",omitempty"` // cancel
	Lost     bool   `json:",omitempty"` // get, await: the task is a dead letter because its worker was lost
	Reported string `json:",omitempty"` // outcome
	Unseen   bool   `json:",omitempty"` // outcome: of a lease that the worker never received; it was asked to stop it
}

// histTask is all that was done to what should be one task: the operations of a partition.
type histTask struct {
	Group   int
	Repeats bool   // submits are repeats of each other: by an idempotency key, or under one producer's number
	Max     uint32 // attempts that it has
	ID      uint64 // as anyone was told it; 0: nobody was
	Ops     []histOp
}

// histState is a task as the model sees it. Comparable: the checker compares it by ==.
type histState struct {
	id       uint64
	phase    string // "": not stored; ready, leased, deleted (histForgotten), or how it ended
	gen      uint32
	token    uint64 // leased: the lease's; 0: nobody has told it so far
	top      uint64 // the highest token so far
	attempts uint32 // spent in this generation, at least: what a lost worker is charged for is seen later
	asked    bool
	won      uint64 // ended: the token of the accepted outcome, or 0
	lost     bool   // ended by the loss of its worker
}

func (s histState) live() bool  { return s.phase == histReady || s.phase == histLeased }
func (s histState) there() bool { return s.phase != "" && s.phase != histForgotten }
func (s histState) ended() bool { return s.there() && !s.live() }

func (s histState) end(how string, won uint64) histState {
	s.phase, s.won, s.token, s.asked = how, won, 0, false
	return s
}

func (s histState) back() histState {
	if s.asked {
		return s.end(histCancelled, 0)
	}
	s.phase, s.token = histReady, 0
	return s
}

func (s histState) lease(token uint64) histState {
	s.phase, s.token, s.top = histLeased, token, max(s.top, token)
	return s
}

// model is the sequential specification of one task: what may be answered, one operation after the other.
func (h *histTask) model() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{histState{}} },
		Step: func(state, input, _ any) []any {
			op := input.(histOp)
			var next []any
			for _, s := range h.drift(state.(histState)) {
				for _, n := range h.step(s, &op) {
					next = append(next, n)
				}
			}
			return next
		},
		Hash: func(state any) uint64 {
			s := state.(histState)
			return s.top*31 + uint64(s.attempts)*7 + uint64(len(s.phase)) + uint64(s.gen)<<32
		},
		DescribeOperation: func(input, _ any) string { return describeHistOp(input.(histOp)) },
		DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
	}
	return m.ToModel()
}

// mortalMax bounds the attempts of a task that may spend them all on lost workers within a test.
const mortalMax = 10

// drift is what a task may have become unheard: its lease goes back, and with its last attempt it is a dead letter.
func (h *histTask) drift(s histState) []histState {
	list := []histState{s}
	if s.phase == histLeased {
		list = append(list, s.back())
	}
	if s.live() && !s.asked && h.Max <= mortalMax {
		dead := s.end(histDead, 0)
		dead.attempts, dead.lost = h.Max, true
		list = append(list, dead)
	}
	return list
}

// step returns the states that an operation may leave, none if it can't have been answered so.
func (h *histTask) step(s histState, op *histOp) []histState {
	if op.Kind == histSubmit {
		return h.submit(s, op)
	}
	if op.Answer != histOpen && s.phase != "" && op.Task != s.id {
		return nil // the submit has made two tasks
	}
	switch op.Kind {
	case histGet, histAwait:
		return h.look(s, op)
	case histListed:
		return only(s, s.there())
	case histCancel:
		return cancelStep(s, op)
	case histRetry:
		return retryStep(s, op)
	case histDelete:
		return deleteStep(s, op)
	case histGrant:
		return grantStep(s, op)
	case histOutcome:
		return h.outcome(s, op)
	}
	panic("history: no such operation: " + op.Kind)
}

// only is s if the condition holds.
func only(s histState, holds bool) []histState {
	if !holds {
		return nil
	}
	return []histState{s}
}

func (h *histTask) submit(s histState, op *histOp) []histState {
	id := op.Task
	if op.Answer == histOpen {
		id = h.ID
	}
	switch {
	case s.phase == "" && id != 0:
		return []histState{{id: id, phase: histReady, gen: 1}}
	case op.Answer == histOpen:
		return []histState{s}
	}
	return only(s, h.Repeats && s.id == id)
}

func grantStep(s histState, op *histOp) []histState {
	if !s.live() || op.Gen != s.gen || op.Attempts < s.attempts {
		return nil
	}
	s.attempts = op.Attempts
	if s.phase == histLeased && s.token != 0 {
		return only(s, s.token == op.Token) // a Get has told of it before
	}
	return only(s.lease(op.Token), op.Token > s.top)
}

// outcome is accepted iff its token is the current one.
func (h *histTask) outcome(s histState, op *histOp) []histState {
	current := s.phase == histLeased && s.token == op.Token
	if told := s.phase == histLeased && s.token != 0; op.Unseen && op.Answer == histAccepted && s.live() && !told && op.Token > s.top {
		s, current = s.lease(op.Token), true // nobody else has told of the grant
	}
	switch op.Answer {
	case histFenced:
		return only(s, s.live() && !current)
	case histGone:
		return only(s, s.there() && !s.live() || s.phase == histForgotten)
	case histAccepted, histOpen:
		if !current {
			return only(s, op.Answer == histOpen)
		}
		return h.accept(s, op)
	}
	return nil
}

func (h *histTask) accept(s histState, op *histOp) []histState {
	spent := s
	spent.attempts++
	switch {
	case op.Reported == histSucceeded:
		return []histState{spent.end(histSucceeded, op.Token)}
	case op.Reported == histInterrupted:
		return []histState{s.back()}
	case op.Reported == histCancelled && s.asked:
		return []histState{s.end(histCancelled, op.Token)}
	case s.asked:
		return []histState{spent.end(histCancelled, op.Token)}
	case op.Reported == histPermanent || spent.attempts >= h.Max:
		return []histState{spent.end(histDead, op.Token)}
	case h.Max > mortalMax:
		return []histState{spent.back()}
	}
	last := spent.end(histDead, op.Token) // attempts were charged that nobody has told of yet
	last.attempts = h.Max
	return []histState{spent.back(), last}
}

// operations is the partition as the checker takes it.
func (h *histTask) operations() []porcupine.Operation {
	list := make([]porcupine.Operation, len(h.Ops))
	for i, op := range h.Ops {
		if op.Answer == histOpen {
			op.Return = math.MaxInt64
		}
		list[i] = porcupine.Operation{ClientId: op.Client, Input: op, Call: op.Call, Return: op.Return}
	}
	return list
}

func describeHistOp(op histOp) string {
	text := op.Kind
	if op.Force {
		text += " by force"
	}
	if op.Reported != "" {
		text += " " + op.Reported
	}
	answer := op.Answer
	if answer == histOpen {
		answer = "?"
	}
	return fmt.Sprintf("%s → %s (task %d token %d gen %d attempts %d asked %t)", text, answer, op.Task, op.Token, op.Gen, op.Attempts, op.Asked)
}
