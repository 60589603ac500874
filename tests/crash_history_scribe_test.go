//go:build e2e && crash

package tests

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// scribe writes the history: of what the test's clients did, and of what the workers tell. Its clock is that of this
// process: a worker's call is noted before it happens, and what it received after that.
type scribe struct {
	socket string
	began  time.Time
	loops  sync.WaitGroup

	mu       sync.Mutex
	groups   []*histTask            // guarded by mu, as all below; by number
	granted  map[uint64]*lent       // by token
	outcomes map[outcomeKey]*histOp // as long as the worker's process lives
	told     tally
}

// tally is what is counted beside the operations.
type tally struct {
	grants, began, ended          int // as workers told; grants: those repeated after a break of a stream too
	late, refused, accepted, open int // late outcomes: in all, and how they were answered
	problems                      []string
}

// lent is a token as workers told of it.
type lent struct {
	group    int
	task     uint64
	worker   int
	received int64
	began    bool
}

// outcomeKey names an outcome: its number in a session.
type outcomeKey struct{ session, seq uint64 }

func startScribe(t *testing.T) *scribe {
	t.Helper()
	dir, err := os.MkdirTemp("", "yh") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	s := &scribe{socket: filepath.Join(dir, "s"), began: time.Now(), granted: map[uint64]*lent{}, outcomes: map[outcomeKey]*histOp{}}
	lis, err := net.Listen("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	s.loops.Go(func() {
		for number := firstWorker; ; number++ {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			s.loops.Go(func() { s.serve(conn, number) })
		}
	})
	t.Cleanup(func() { lis.Close(); s.loops.Wait(); os.RemoveAll(dir) }) // the workers, and their lines, have ended
	return s
}

// firstWorker is the client number of the first worker's process in a history.
const firstWorker = 100

func (s *scribe) now() int64 { return int64(time.Since(s.began)) }

// serve takes what one worker's process tells.
func (s *scribe) serve(conn net.Conn, number int) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var list []told
		if err := json.Unmarshal(line, &list); err != nil {
			s.problem("worker %d tells %q: %v", number, line, err)
			return
		}
		s.take(number, list)
		if _, err := conn.Write([]byte("ok\n")); err != nil {
			return
		}
	}
}

func (s *scribe) problem(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found(format, args...)
}

// found notes a problem. The caller holds mu.
func (s *scribe) found(format string, args ...any) {
	if len(s.told.problems) < problemsMax {
		s.told.problems = append(s.told.problems, fmt.Sprintf(format, args...))
	}
}

func (s *scribe) take(number int, list []told) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.now()
	for _, x := range list {
		l := s.granted[x.Token]
		unseen := l == nil && x.What == "sent" && x.Word == histInterrupted // so a worker answers the Cancel of a lease that never came
		if l == nil && x.What != "grant" && x.What != "answered" && !unseen {
			s.found("worker %d %s for token %d, of which it was not told", number, x.What, x.Token)
			continue
		}
		switch x.What {
		case "grant":
			s.grant(number, &x, at)
		case "began":
			if s.told.began++; l.began {
				s.found("task %d: token %d began twice", x.Task, x.Token)
			}
			l.began = true
		case "ended":
			s.told.ended++
		case "sent":
			key := outcomeKey{x.Session, x.Seq}
			if s.outcomes[key] == nil { // else it is sent again on a new stream: the same operation
				s.outcomes[key] = &histOp{Kind: histOutcome, Client: number, Call: at, Task: x.Task, Token: x.Token, Reported: x.Word, Unseen: unseen}
			}
		case "answered":
			op := s.outcomes[outcomeKey{x.Session, x.Seq}]
			switch {
			case op == nil:
				s.found("worker %d: outcome %d of session %d is answered and was not sent", number, x.Seq, x.Session)
			case op.Answer == histOpen:
				op.Answer, op.Return = x.Word, at
			case op.Answer != x.Word:
				s.found("task %d: token %d was answered %s, then %s, in one session", op.Task, op.Token, op.Answer, x.Word)
			}
		}
	}
}

// grant notes a lease. One that is granted again, after a break of the stream, is known. The caller holds mu.
func (s *scribe) grant(number int, x *told, at int64) {
	s.told.grants++
	if l := s.granted[x.Token]; l != nil {
		if l.worker != number || l.task != x.Task {
			s.found("token %d was given to worker %d for task %d, and to worker %d for task %d", x.Token, l.worker, l.task, number, x.Task)
		}
		return
	}
	s.granted[x.Token] = &lent{group: x.Group, task: x.Task, worker: number, received: at}
	h := s.groups[x.Group]
	h.Ops = append(h.Ops, histOp{Kind: histGrant, Client: number, Call: h.Ops[0].Call, Return: at, Answer: histDone,
		Task: x.Task, Token: x.Token, Gen: x.Gen, Attempts: x.Attempts})
}

// add makes a group. Its first operation holds the time before which nothing of it was.
func (s *scribe) add(h *histTask) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.Group = len(s.groups)
	h.Ops = []histOp{{Call: s.now()}}
	s.groups = append(s.groups, h)
	return h.Group
}

// note adds an operation of a client.
func (s *scribe) note(group int, op histOp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.groups[group]
	h.Ops = append(h.Ops, op)
	if op.Kind == histSubmit || op.Kind == histListed {
		h.ID = max(h.ID, op.Task)
	}
}

// history is what there is to check, once all has ended.
func (s *scribe) history() []histTask {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]histTask, len(s.groups))
	for i, h := range s.groups {
		list[i] = *h
		list[i].Ops = slices.Clone(h.Ops[1:])
	}
	for _, l := range s.granted {
		if h := &list[l.group]; h.ID == 0 {
			h.ID = l.task // its submit's answer was lost
		}
	}
	groups := map[uint64]int{}
	for i := range list {
		for _, op := range list[i].Ops {
			if op.Answer != histOpen {
				groups[op.Task] = i
			}
		}
	}
	for _, op := range s.outcomes {
		group, ok := groups[op.Task]
		if !ok {
			s.found("an outcome for task %d, of which nobody was told", op.Task)
			continue
		}
		list[group].Ops = append(list[group].Ops, *op)
	}
	return list
}

// countLate counts the outcomes that were sent when the worker's token was over already, as an answer to somebody had shown
// before: a higher token was received, or the task was told to have ended. None of them may have been accepted.
func (s *scribe) countLate(list []histTask) tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range list {
		h := &list[i]
		for j := range h.Ops {
			if op := &h.Ops[j]; op.Kind == histOutcome && !op.Unseen && s.over(h, op) {
				s.told.late++
				switch op.Answer {
				case histFenced, histGone:
					s.told.refused++
				case histOpen:
					s.told.open++
				default:
					s.told.accepted++
					s.found("task %d: the late outcome of token %d was %s", op.Task, op.Token, op.Answer)
				}
			}
		}
	}
	return s.told
}

// over: before the outcome was sent somebody had been answered what its token can't be current after. The caller holds mu.
func (s *scribe) over(h *histTask, late *histOp) bool {
	received := s.granted[late.Token].received
	return slices.ContainsFunc(h.Ops, func(op histOp) bool {
		if op.Answer == histOpen || op.Return >= late.Call {
			return false
		}
		switch op.Kind {
		case histGrant:
			return op.Token > late.Token
		case histGet:
			return op.Answer == histLeased && op.Token > late.Token || op.Call > received && op.Answer != histLeased
		case histAwait:
			return op.Call > received
		case histRetry, histDelete:
			return op.Call > received && op.Answer != histNotDead && op.Answer != histNotEnded
		case histCancel:
			return op.Call > received && op.Answer != histRequested
		case histOutcome:
			return op.Token == late.Token
		}
		return false
	})
}
