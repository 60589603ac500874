package rpc

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

type sessionStream = fakeStream[yardmasterv1.SessionRequest, yardmasterv1.SessionResponse]

// attack is a hostile worker with a few streams, and an innocent one that holds two tasks.
type attack struct {
	*feed
	t *testing.T
	r *rig

	innocent *sessionStream
	id       uint64   // its session
	tokens   []uint64 // that it holds
	holding  string   // as its leases stood
	streams  []*sessionStream
	granted  []uint64 // tokens that the hostile one was given
	sessions []uint64 // that it had
	seq      uint64   // the highest of its Grants
	passed   time.Duration
}

// FuzzSession: a hostile worker sends messages of any bytes, in any order, with anybody's tokens, on several streams. The
// coordinator doesn't panic; no stream ends with a fault of its own; after each message the innocent worker holds what it
// held, and hears of nothing; in the end its outcomes are accepted, and the core's state is right.
func FuzzSession(f *testing.F) {
	for seed := range uint64(24) {
		r := rand.New(rand.NewPCG(seed, 0))
		b := make([]byte, 300)
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		f.Add(b)
	}
	kinds := (&yardmasterv1.SessionRequest{}).ProtoReflect().Descriptor().Oneofs().ByName("message").Fields()
	for i := range kinds.Len() {
		m, fd := (&yardmasterv1.SessionRequest{}).ProtoReflect(), kinds.Get(i)
		sample(m.Mutable(fd).Message(), 3)
		data, err := proto.Marshal(m.Interface())
		if err != nil || len(data) > 250 {
			f.Fatal(len(data), err)
		}
		// A good Hello first, then the message as bytes.
		f.Add(append([]byte{0, 0, 2, 0, 1, 1, 1, 1, 1, 1, 9, 1, byte(len(data))}, data...))
		f.Add(append([]byte{9, byte(i), byte(len(data))}, data...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > fuzzBytesMax {
			return
		}
		inBubble(t, func(r *rig) { (&attack{feed: &feed{data}, t: r.t, r: r}).run() })
	})
}

func (a *attack) run() {
	a.begin()
	for len(a.b) > 0 {
		a.step()
		synctest.Wait()
		a.listen()
		a.check()
	}
	o := &yardmasterv1.Outcomes{FirstSeq: 1}
	for _, l := range a.r.e.SessionLeases(scheduler.SessionID(a.id), 10) {
		o.Outcomes = append(o.Outcomes, &yardmasterv1.AttemptOutcome{Token: uint64(l.Token), TaskId: uint64(l.Task),
			Kind: &yardmasterv1.AttemptOutcome_Succeeded{Succeeded: &yardmasterv1.Succeeded{}}})
	}
	a.innocent.taken()
	a.innocent.send(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Outcomes{Outcomes: o}})
	synctest.Wait()
	accepted := false
	for _, m := range a.innocent.taken() {
		ack := m.GetOutcomeAck()
		accepted = accepted || ack.GetThroughSeq() == 2 && len(ack.GetRejected()) == 0
	}
	if !accepted {
		a.t.Fatal("the innocent worker's outcomes were not accepted")
	}
	for _, st := range append(a.streams, a.innocent) {
		st.end()
		<-st.over
		a.harmless(st)
	}
}

// begin gives the innocent worker two tasks and starts one of them.
func (a *attack) begin() {
	a.innocent = a.open()
	a.streams = nil
	h := helloOf("w1", 1, 2)
	secret := sha256.Sum256([]byte("nobody knows another's incarnation"))
	h.Incarnation = secret[:16]
	a.innocent.send(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Hello{Hello: h}})
	synctest.Wait()
	a.id = a.innocent.taken()[0].GetWelcome().GetSessionId()
	a.r.submit(2, 10)
	synctest.Wait()
	var seq uint64
	for _, m := range a.innocent.taken() {
		seq = max(seq, m.GetGrants().GetSeq())
		for _, l := range m.GetGrants().GetLeases() {
			a.tokens = append(a.tokens, l.GetToken())
		}
	}
	if len(a.tokens) != 2 {
		a.t.Fatalf("tokens %d", a.tokens)
	}
	a.innocent.send(&yardmasterv1.SessionRequest{ReceivedThrough: seq, Message: &yardmasterv1.SessionRequest_Started{
		Started: &yardmasterv1.Started{Tokens: a.tokens[:1]}}})
	a.r.submit(5, 10) // for the other one
	synctest.Wait()
	a.holding = a.leases()
}

func (a *attack) open() *sessionStream {
	st := serveStream(a.r, (&workerService{s: a.r.s}).Session)
	a.streams = append(a.streams, st)
	return st
}

// leases tells what the innocent worker has and holds.
func (a *attack) leases() string {
	text := ""
	for _, x := range a.r.e.Sessions() {
		if uint64(x.ID) == a.id {
			text = fmt.Sprintf("session attached %t, attach %d, superseded %t, draining %t; ", x.Attached, x.Attach, x.Superseded, x.Draining)
		}
	}
	for _, l := range a.r.e.SessionLeases(scheduler.SessionID(a.id), 10) {
		task, err := a.r.e.Task(a.r.ctx, l.Task)
		if err != nil || task.Live == nil {
			return fmt.Sprintf("task %d: %v", l.Task, err)
		}
		text += fmt.Sprintf("token %d of task %d, revoked %t, state %d, attempts %d, losses %d, flags %d; ",
			l.Token, l.Task, l.Revoked, task.Live.State, task.Live.Attempts, task.Live.Losses, task.Live.Flags)
	}
	return text
}

func (a *attack) check() {
	a.t.Helper()
	if now := a.leases(); now != a.holding {
		a.t.Fatalf("the innocent worker held\n%s\nand holds\n%s", a.holding, now)
	}
	if a.innocent.ended() {
		a.t.Fatalf("its stream has ended: %v", a.innocent.err)
	}
	for _, m := range a.innocent.taken() {
		if m.GetHeartbeatAck() == nil {
			a.t.Fatalf("it was told %v", m)
		}
	}
	a.r.e.mu.Lock()
	defer a.r.e.mu.Unlock()
	if err := a.r.e.core.Check(); err != nil {
		a.t.Fatal(err)
	}
}

// harmless wants a stream's end to be the worker's fault, or nobody's.
func (a *attack) harmless(st *sessionStream) {
	if status.Code(st.err) != codes.Canceled {
		innocuous(a.t, "session", st.err)
	}
}

// listen learns what the hostile worker was told, and drops its ended streams.
func (a *attack) listen() {
	var live []*sessionStream
	for _, st := range a.streams {
		for _, m := range st.taken() {
			if w := m.GetWelcome(); w != nil {
				a.sessions = append(a.sessions, w.GetSessionId())
			}
			a.seq = max(a.seq, m.GetGrants().GetSeq())
			for _, l := range m.GetGrants().GetLeases() {
				a.granted = append(a.granted, l.GetToken())
			}
		}
		if st.ended() {
			a.harmless(st)
		} else {
			live = append(live, st)
		}
	}
	a.streams = live
}

// wrap adds confirmations.
func (a *attack) wrap(m *yardmasterv1.SessionRequest) *yardmasterv1.SessionRequest {
	m.ReceivedThrough = a.seq
	if a.n(6) == 0 {
		m.ReceivedThrough, m.AnswersThrough = a.number(), a.number()
	}
	return m
}

// token is the innocent worker's, one of its own, or any.
func (a *attack) token() uint64 {
	switch k := a.n(4); {
	case k == 0:
		return a.tokens[a.n(2)]
	case k < 3 && len(a.granted) > 0:
		return a.granted[a.n(len(a.granted))]
	}
	return a.number()
}

func (a *attack) some() []uint64 {
	var list []uint64
	for range a.n(5) {
		list = append(list, a.token())
	}
	return list
}

// hello opens a session or resumes one: its own, the innocent worker's, any.
func (a *attack) hello() *yardmasterv1.Hello {
	h := helloOf([...]string{"w2", "w2", "w1", ""}[a.n(4)], byte(2+a.n(2)), uint32(1+a.n(4)))
	h.ProtocolVersion = uint32(1 + a.n(2))
	if a.n(8) == 0 {
		h.Pools[0].Slots, h.Pools[0].Prefetch, h.ProtocolVersion = uint32(a.number()), uint32(a.number()), uint32(a.number())
	}
	if a.n(2) == 0 {
		return h
	}
	h.Resume = &yardmasterv1.Resume{}
	switch a.n(3) {
	case 0:
		h.Resume.SessionId = a.id
	case 1:
		h.Resume.SessionId = a.number()
	default:
		if len(a.sessions) > 0 {
			h.Resume.SessionId = a.sessions[a.n(len(a.sessions))]
		}
	}
	for _, token := range a.some() {
		h.Resume.Tokens = append(h.Resume.Tokens, &yardmasterv1.KnownToken{Token: token, TaskId: a.number(), Weight: uint32(a.number()),
			Pool: [...]string{"main", "?"}[a.n(2)], Phase: yardmasterv1.KnownToken_Phase(a.n(5))})
	}
	return h
}

func (a *attack) outcomes() *yardmasterv1.Outcomes {
	o := &yardmasterv1.Outcomes{FirstSeq: a.number()}
	for range a.n(5) {
		x := &yardmasterv1.AttemptOutcome{Token: a.token(), TaskId: a.number()}
		switch a.n(5) {
		case 0:
			x.Kind = &yardmasterv1.AttemptOutcome_Succeeded{Succeeded: &yardmasterv1.Succeeded{Result: a.bytes(8)}}
		case 1:
			x.Kind = &yardmasterv1.AttemptOutcome_Failed{Failed: &yardmasterv1.AttemptFailed{Permanent: a.n(2) == 0,
				Failure: &yardmasterv1.Failure{Cause: yardmasterv1.Cause(a.n(7)), Message: string(a.bytes(8))}}}
		case 2:
			x.Kind = &yardmasterv1.AttemptOutcome_Cancelled{Cancelled: &yardmasterv1.AttemptCancelled{}}
		case 3:
			x.Kind = &yardmasterv1.AttemptOutcome_Interrupted{Interrupted: &yardmasterv1.Interrupted{Reason: string(a.bytes(8))}}
		}
		o.Outcomes = append(o.Outcomes, x)
	}
	return o
}

// parting is one of the messages of a worker that leaves.
func (a *attack) parting() *yardmasterv1.SessionRequest {
	switch a.n(3) {
	case 0:
		return a.wrap(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Draining{Draining: &yardmasterv1.Draining{Running: uint32(a.number())}}})
	case 1:
		return a.wrap(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Drained{Drained: &yardmasterv1.Drained{}}})
	}
	return a.wrap(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Goodbye{Goodbye: &yardmasterv1.Goodbye{}}})
}

// attackTimeMax bounds the fake time that goes by: heartbeats cost steps.
const attackTimeMax = 2 * time.Minute

func (a *attack) step() {
	if len(a.streams) == 0 {
		a.open()
	}
	st := a.streams[a.n(len(a.streams))]
	switch a.n(16) {
	case 0, 1:
		st.send(a.wrap(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Hello{Hello: a.hello()}}))
	case 2:
		st.send(a.wrap(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Started{Started: &yardmasterv1.Started{Tokens: a.some()}}}))
	case 3, 4:
		st.send(a.wrap(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Outcomes{Outcomes: a.outcomes()}}))
	case 5:
		st.send(a.wrap(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Heartbeat{Heartbeat: &yardmasterv1.Heartbeat{SendTimeNanos: int64(a.number()),
			Progress: []*yardmasterv1.TaskProgress{{Token: a.token(), Permille: uint32(a.number()), Message: string(a.bytes(8))}}}}}))
	case 6:
		st.send(a.wrap(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Recalled{Recalled: &yardmasterv1.Recalled{Tokens: a.some()}}}))
	case 7:
		st.send(a.parting())
	case 8:
		st.send(&yardmasterv1.SessionRequest{ReceivedThrough: a.seq})
	case 9, 10:
		m := &yardmasterv1.SessionRequest{}
		if decode(a.bytes(255), m) == nil {
			st.send(m)
		}
	case 11:
		st.end()
	case 12:
		close(st.in)
		synctest.Wait()
		st.end()
		<-st.over
	case 13:
		if len(a.streams) < 3 {
			a.open()
		}
	default:
		a.pass(time.Duration(a.n(5)) * time.Second)
	}
}

// pass lets time go by; the innocent worker beats.
func (a *attack) pass(d time.Duration) {
	if a.passed += d; a.passed > attackTimeMax {
		return
	}
	a.innocent.send(&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Heartbeat{Heartbeat: &yardmasterv1.Heartbeat{SendTimeNanos: 1}}})
	a.r.pass(d)
}
