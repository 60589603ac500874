//go:build e2e

package tests

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/yardmaster/yardmaster/client"
)

const (
	submitters    = 64
	submitKills   = 4
	submitsBefore = 1500 // acknowledged before each kill
	submitsMost   = 400  // of one goroutine: what a test that goes wrong may store
)

// submits is what came of single submits, by their number.
type submits struct {
	mu      sync.Mutex
	ids     map[int]uint64 // guarded by mu: acknowledged
	unknown map[int]bool   // guarded by mu: ended before their answer
	refused int            // guarded by mu
	odd     []string       // guarded by mu: errors that aren't documented
}

func (s *submits) acked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ids)
}

// came sorts an end.
func (s *submits) came(number int, task client.Task, id uint64, err error, hasty bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var e *client.Error
	switch {
	case err == nil:
		s.ids[number] = id
	case !errors.As(err, &e):
		s.odd = append(s.odd, err.Error())
	case task.Kind == "no name":
		s.refused++
		if e.Code != codes.InvalidArgument || len(e.Fields) != 1 || e.Fields[0].Field != "tasks[0].kind" || e.OutcomeUnknown {
			s.odd = append(s.odd, fmt.Sprintf("a task at fault: %v", err))
		}
	case !hasty || !errors.Is(err, context.DeadlineExceeded):
		s.odd = append(s.odd, err.Error())
	case errors.Is(err, client.ErrOutcomeUnknown):
		s.unknown[number] = true
	}
}

// submit makes submits of one goroutine until stop. Some are at fault, and some callers don't wait long.
func (s *submits) submit(ctx context.Context, sub *client.Submitter, first int, stop <-chan struct{}) {
	for i := range submitsMost {
		select {
		case <-stop:
			return
		default:
		}
		number := first + i
		task := client.Task{Kind: "note", Payload: client.JSON(notePayload{}), Labels: map[string]string{"number": strconv.Itoa(number)}}
		mine, end, hasty := ctx, context.CancelFunc(func() {}), number%17 == 0
		if hasty {
			mine, end = context.WithTimeout(ctx, time.Duration(number%29)*time.Millisecond)
		}
		if !hasty && number%31 == 1 {
			task.Kind = "no name"
		}
		id, err := sub.Submit(mine, task)
		end()
		s.came(number, task, id, err, hasty)
	}
}

// TestSubmitterOverKills kills the coordinator while 64 goroutines submit one by one: what was acknowledged is there, once;
// what isn't known to the caller is there once or not at all; and nothing else is.
func TestSubmitterOverKills(t *testing.T) {
	t.Parallel()
	book, c := startLedger(t), startCoordinator(t)
	front := startProxy(t, c.addr)
	sdkWorker{Coordinator: c.addr, Name: "w", Ledger: book.socket, Slots: 64, Prefetch: 64}.start(t)
	sub, err := client.NewSubmitter(newClient(t, front.addr), client.SubmitterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s := &submits{ids: map[int]uint64{}, unknown: map[int]bool{}}
	stop := make(chan struct{})
	var loops sync.WaitGroup
	ctx := bounded(t)
	for g := range submitters {
		loops.Go(func() { s.submit(ctx, sub, g*submitsMost, stop) })
	}
	for i := range submitKills {
		want := s.acked() + submitsBefore
		eventually(t, fmt.Sprintf("%d submits are acknowledged", want), func() bool { return s.acked() >= want })
		if i%2 == 0 {
			front.hold(down) // carried out, and not answered
			pass(ctx, unansweredFor)
		}
		c.proc.kill()
		front.cut()
		front.restore()
		c.start()
	}
	want := s.acked() + submitsBefore
	eventually(t, "submits go on", func() bool { return s.acked() >= want })
	close(stop)
	loops.Wait()
	if err := sub.Close(bounded(t)); err != nil {
		t.Error(err)
	}
	s.judge(t, c.client(), book)
}

// judge compares what the callers were told with what is stored and what ran.
func (s *submits) judge(t *testing.T, cl *client.Client, book *ledger) {
	t.Helper()
	for _, text := range s.odd {
		t.Error(text)
	}
	stored := map[int]uint64{}
	var ids []uint64
	for task, err := range cl.List(bounded(t), client.Filter{PageSize: 1000}) {
		if err != nil {
			t.Fatal(err)
		}
		number, err := strconv.Atoi(task.GetLabels()["number"])
		if err != nil {
			t.Fatalf("task %d: %v", task.GetId(), err)
		}
		if twin := stored[number]; twin != 0 {
			t.Errorf("submit %d is stored twice: tasks %d and %d", number, twin, task.GetId())
		}
		stored[number] = task.GetId()
		ids = append(ids, task.GetId())
		if s.ids[number] == 0 && !s.unknown[number] {
			t.Errorf("task %d is stored, and its caller was told that submit %d is not", task.GetId(), number)
		}
	}
	for number, id := range s.ids {
		if stored[number] != id {
			t.Errorf("submit %d was acknowledged as task %d; stored is %d", number, id, stored[number])
		}
	}
	if most := len(s.ids) + len(s.unknown); len(stored) > most {
		t.Errorf("%d tasks are stored, want at most %d", len(stored), most)
	}
	if s.refused == 0 || len(s.unknown) == 0 {
		t.Errorf("%d submits were at fault, %d are unknown; the test wants some of each", s.refused, len(s.unknown))
	}
	runs := map[uint64]int{}
	outs := outcomes(t, cl, ids)
	for _, r := range book.records() {
		if r.Kind == recordRun {
			runs[r.Task]++
		}
	}
	for _, out := range outs {
		if out.State != client.Succeeded || out.Attempts != 1 || runs[out.ID] != 1 {
			t.Errorf("task %d ran %d times and ended %s, attempts %d", out.ID, runs[out.ID], client.StateWord(out.State), out.Attempts)
		}
	}
	t.Logf("%d acknowledged, %d unknown to their callers, %d refused, %d stored", len(s.ids), len(s.unknown), s.refused, len(stored))
}
