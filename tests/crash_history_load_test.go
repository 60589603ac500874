//go:build e2e && crash

package tests

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

const (
	historyHands   = 5           // clients, each with a connection of its own
	groupsAtOnce   = 32          // tasks that the hands are at, all of them at each
	historyCall    = time.Second // what a call is given: an outage of more leaves it open
	historyHoldMax = 250 * time.Millisecond
	openMax        = 4 // changes of a task whose answers are lost: then it is only looked at, or the checker is lost in what may be
)

// How a group's task is submitted.
const (
	byKey    = iota // by all hands, under one key
	byNumber        // by all hands, under one producer's number
	bySDK           // by one hand; the SDK repeats it under its own number
	bare            // by one hand, once
	waysToSubmit
)

// hand is a client, and what notes its calls.
type hand struct {
	number int
	s      *scribe
	cl     *client.Client
}

type groupKey struct{}

// newHand connects. Each attempt of a call is noted by itself: a repeat may find what the first has done.
func newHand(number int, s *scribe, addr string) (*hand, error) {
	h := &hand{number: number, s: s}
	cl, err := client.New(client.Config{Addresses: []string{addr}, DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(h.intercept)}})
	h.cl = cl
	return h, err
}

func (h *hand) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	group, ok := ctx.Value(groupKey{}).(int)
	op := histOp{Client: h.number}
	switch q := req.(type) {
	case *pb.TaskServiceGetRequest:
		op.Kind, op.Task = histGet, q.GetTaskId()
	case *pb.TaskServiceCancelRequest:
		op.Kind, op.Task, op.Force = histCancel, q.GetTaskIds()[0], q.GetForce()
	case *pb.RetryRequest:
		op.Kind, op.Task = histRetry, q.GetTaskIds()[0]
	case *pb.TaskServiceDeleteRequest:
		op.Kind, op.Task = histDelete, q.GetTaskIds()[0]
	default:
		ok = false
	}
	if !ok {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	var p peer.Peer
	op.Call = h.s.now()
	err := invoke(ctx, method, req, reply, cc, append(opts[:len(opts):len(opts)], grpc.Peer(&p))...)
	op.Return = h.s.now()
	switch {
	case err == nil:
		h.answer(&op, reply)
	case op.Kind == histGet:
		if op.Answer = missingWord(client.AsError("get", err)); op.Answer == histOpen {
			return err // nothing was learnt, and nothing was done
		}
	case p.Addr == nil:
		return err // it never left
	}
	h.s.note(group, op)
	return err
}

// missingWord is the answer to a question about a task that isn't there, or histOpen.
func missingWord(err error) string {
	switch {
	case errors.Is(err, client.ErrNotRetained):
		return histForgotten
	case errors.Is(err, client.ErrUnknownTask):
		return histUnknownID
	}
	return histOpen
}

func (h *hand) answer(op *histOp, reply any) {
	var results []*pb.TaskResult
	switch r := reply.(type) {
	case *pb.TaskServiceGetResponse:
		t := r.GetTask()
		op.Answer, op.Gen, op.Attempts, op.Asked = stateWord(t.GetState()), t.GetGeneration(), t.GetAttempts(), t.GetCancelRequested()
		op.Token = t.GetLease().GetToken()
		if out := t.GetOutcome(); out != nil {
			op.Token, op.Lost, op.Asked = out.GetToken(), out.GetCause() == pb.Cause_CAUSE_WORKER_LOST, false
		}
		return
	case *pb.TaskServiceCancelResponse:
		results = r.GetResults()
	case *pb.RetryResponse:
		results = r.GetResults()
	case *pb.TaskServiceDeleteResponse:
		results = r.GetResults()
	}
	op.Answer = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(results[0].GetCode().String(), "CODE_"), "_", " "))
}

// stateWord is a state as the model has it.
func stateWord(s client.TaskState) string {
	switch s {
	case client.Scheduled, client.Waiting, client.Pending:
		return histReady
	case client.Leased, client.Running:
		return histLeased
	}
	return client.StateWord(s)
}

// await notes what Await tells; one that was given up has told nothing.
func (h *hand) await(ctx context.Context, group int, id uint64) {
	op := histOp{Kind: histAwait, Client: h.number, Task: id, Call: h.s.now()}
	out, err := h.cl.Await(ctx, id)
	op.Return = h.s.now()
	if err != nil {
		if op.Answer = missingWord(err); op.Answer != histOpen {
			h.s.note(group, op)
		}
		return
	}
	op.Answer, op.Token, op.Attempts, op.Lost = stateWord(out.State), out.Token, uint32(out.Attempts), out.Cause == pb.Cause_CAUSE_WORKER_LOST
	h.s.note(group, op)
}

// labour is one group on its way.
type labour struct {
	group            int
	task             client.Task
	way              int
	producer         *pb.Producer
	cancels, deletes bool
	id               atomic.Uint64
	known, given     chan struct{} // closed: the id is known; all submits have ended
	once             sync.Once
	open             atomic.Int32
}

func newLabour(s *scribe, rng *rand.Rand) *labour {
	l := &labour{way: rng.IntN(waysToSubmit), known: make(chan struct{}), given: make(chan struct{}), cancels: rng.IntN(3) == 0, deletes: rng.IntN(3) == 0}
	task := &histTask{Repeats: l.way == byKey || l.way == byNumber, Max: 1000}
	work := historyPayload{Hold: time.Duration(rng.Int64N(int64(historyHoldMax))), Ends: []string{histSucceeded}, Stubborn: rng.IntN(3) == 0}
	if rng.IntN(8) == 0 {
		work.Hold *= 8
	}
	if rng.IntN(2) == 0 {
		task.Max = uint32(1 + rng.IntN(3))
		work.Ends = []string{histFails, []string{histFails, histPermanent, histSucceeded}[rng.IntN(3)], histSucceeded}
		if rng.IntN(2) == 0 {
			work.Ends[0] = histPermanent
		}
	}
	l.group = s.add(task)
	work.Group = l.group
	l.task = client.Task{Kind: "history", Payload: client.JSON(work), Labels: map[string]string{"group": strconv.Itoa(l.group)},
		Retry: client.Retry{MaxAttempts: int(task.Max), MaxWorkerLosses: 100, Backoff: new(20 * time.Millisecond)}}
	if l.way == byKey {
		l.task.Key = fmt.Sprintf("group-%d", l.group)
	}
	l.producer = &pb.Producer{Id: make([]byte, 16), Number: 1, LowestUnanswered: 1}
	for i := range l.producer.Id {
		l.producer.Id[i] = byte(rng.Uint32())
	}
	return l
}

// run has all hands work at the task at the same time.
func (l *labour) run(ctx context.Context, hands []*hand, seed uint64) {
	var submits, all sync.WaitGroup
	for i, h := range hands {
		rng := rand.New(rand.NewPCG(seed, uint64(l.group*historyHands+i)))
		if i == l.group%len(hands) || l.way == byKey || l.way == byNumber {
			submits.Go(func() { l.submit(ctx, h) })
		}
		all.Go(func() {
			select {
			case <-l.known:
				l.work(ctx, h, rng)
			case <-l.given:
				if l.id.Load() != 0 {
					l.work(ctx, h, rng)
				}
			}
		})
	}
	submits.Wait()
	close(l.given)
	all.Wait()
}

// submit notes one submit as one operation, however often it is repeated under its number.
func (l *labour) submit(ctx context.Context, h *hand) {
	ctx, cancel := context.WithTimeout(ctx, 2*historyCall)
	defer cancel()
	op := histOp{Kind: histSubmit, Client: h.number, Call: h.s.now()}
	id, err := l.ask(ctx, h)
	op.Return = h.s.now()
	if err == nil {
		op.Answer, op.Task = histStored, id
		l.id.Store(id)
		l.once.Do(func() { close(l.known) })
	} else if e := client.AsError("submit", err); e.Code == codes.AlreadyExists || e.Code == codes.InvalidArgument || e.Code == codes.FailedPrecondition {
		h.s.problem("group %d: %v", l.group, err)
	}
	h.s.note(l.group, op)
}

func (l *labour) ask(ctx context.Context, h *hand) (uint64, error) {
	if l.way == bySDK || l.way == byKey {
		return h.cl.Submit(ctx, l.task)
	}
	req := &pb.SubmitRequest{Tasks: []*pb.TaskSpec{l.task.Spec()}}
	if l.way == byNumber {
		req.Producer = proto.Clone(l.producer).(*pb.Producer)
	}
	for {
		resp, err := h.cl.Tasks().Submit(ctx, req)
		switch {
		case err == nil:
			return resp.GetTaskIds()[0], nil
		case l.way == bare || ctx.Err() != nil || !pass(ctx, 50*time.Millisecond):
			return 0, err
		}
	}
}

// work does a few things to the task, as the group's character has it.
func (l *labour) work(ctx context.Context, h *hand, rng *rand.Rand) {
	id := l.id.Load()
	for i := range 5 + rng.IntN(5) {
		if !pass(ctx, time.Duration(rng.Int64N(int64(60*time.Millisecond)))) {
			return
		}
		l.act(ctx, h, rng, id, i)
	}
}

func (l *labour) act(ctx context.Context, h *hand, rng *rand.Rand, id uint64, i int) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, groupKey{}, l.group), historyCall)
	defer cancel()
	var err error
	what := rng.IntN(10)
	if what > 4 && l.open.Load() >= openMax {
		what = 0
	}
	switch {
	case what == 4:
		h.await(ctx, l.group, id)
	case what == 5 && l.cancels && i > 1:
		_, err = h.cl.Cancel(ctx, id)
	case what == 6 && l.cancels && i > 2:
		_, err = h.cl.ForceCancel(ctx, id)
	case what == 7 || what == 8:
		_, err = h.cl.Retry(ctx, id)
	case (what == 9 || what == 3) && l.deletes && i > 2:
		_, err = h.cl.Delete(ctx, id)
	default:
		_, _ = h.cl.Get(ctx, id) // noted as it was answered
	}
	if err != nil {
		l.open.Add(1)
	}
}
