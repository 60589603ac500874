//go:build e2e

package tests

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// rawWorker speaks the protocol by hand, as badly as a test wants.
type rawWorker struct {
	t       *testing.T
	stream  grpc.BidiStreamingClient[pb.SessionRequest, pb.SessionResponse]
	hangUp  func()
	welcome *pb.Welcome
	said    chan *pb.SessionResponse // what the coordinator says after Welcome
	seq     uint64                   // of the last Grants that until has seen
}

// dialRaw opens a session with one pool.
func dialRaw(t *testing.T, addr, name string, slots uint32, kinds ...string) *rawWorker {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &rawWorker{t: t, hangUp: func() { cancel(); conn.Close() }, said: make(chan *pb.SessionResponse, 1024)}
	t.Cleanup(r.hangUp)
	if r.stream, err = pb.NewWorkerServiceClient(conn).Session(ctx); err != nil {
		t.Fatal(err)
	}
	incarnation := make([]byte, 16)
	rand.Read(incarnation)
	r.send(&pb.SessionRequest{Message: &pb.SessionRequest_Hello{Hello: &pb.Hello{
		ProtocolVersion: 1, WorkerName: name, Incarnation: incarnation, Kinds: kinds,
		Pools: []*pb.Pool{{Name: "default", Slots: slots, Kinds: kinds}},
	}}})
	first, err := r.stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if r.welcome = first.GetWelcome(); r.welcome == nil {
		t.Fatalf("the first message is %v", first)
	}
	go func() {
		defer close(r.said)
		for {
			m, err := r.stream.Recv()
			if err != nil {
				return
			}
			r.said <- m
		}
	}()
	return r
}

func (r *rawWorker) send(m *pb.SessionRequest) {
	r.t.Helper()
	if err := r.stream.Send(m); err != nil {
		r.t.Fatal(err)
	}
}

// until waits for a message that fits.
func (r *rawWorker) until(what string, fits func(*pb.SessionResponse) bool) *pb.SessionResponse {
	r.t.Helper()
	for {
		m := received(r.t, what, r.said)
		if m == nil {
			r.t.Fatalf("the stream ended; waited for %s", what)
		}
		if g := m.GetGrants(); g != nil {
			r.seq = g.GetSeq()
		}
		if fits(m) {
			return m
		}
	}
}

// grants waits for n leases.
func (r *rawWorker) grants(n int) []*pb.TaskLease {
	r.t.Helper()
	var leases []*pb.TaskLease
	for len(leases) < n {
		leases = append(leases, r.until("grants", func(m *pb.SessionResponse) bool { return m.GetGrants() != nil }).GetGrants().GetLeases()...)
	}
	return leases
}

// beat sends heartbeats, which confirm nothing, until stop.
func (r *rawWorker) beat(stop <-chan struct{}) {
	tick := time.NewTicker(r.welcome.GetHeartbeatInterval().AsDuration())
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			err := r.stream.Send(&pb.SessionRequest{Message: &pb.SessionRequest_Heartbeat{Heartbeat: &pb.Heartbeat{SendTimeNanos: now.UnixNano()}}})
			if err != nil {
				return
			}
		case <-stop:
			return
		}
	}
}

// TestUnconfirmedGrant: a worker is granted tasks and never confirms that it got them. They run elsewhere within seconds,
// and no attempt is spent.
func TestUnconfirmedGrant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, ttl string
		limit     time.Duration // from the cut (or the grant) to the outcome
		behave    func(t *testing.T, r *rawWorker)
	}{
		{"its stream is cut", "15s", 9 * time.Second, func(_ *testing.T, r *rawWorker) { r.hangUp() }},
		{"its stream is cut and the session expires before the receipt time", "2s", 9 * time.Second, func(_ *testing.T, r *rawWorker) { r.hangUp() }},
		{"it goes on beating its heart", "15s", 9 * time.Second, func(t *testing.T, r *rawWorker) {
			stop, over := make(chan struct{}), make(chan struct{})
			go func() { defer close(over); r.beat(stop) }()
			t.Cleanup(func() { close(stop); <-over })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const tasks = 3
			book, coord := startLedger(t), startCoordinator(t, "--session-ttl", c.ttl)
			cl := coord.client()
			r := dialRaw(t, coord.addr, "raw", tasks, "note")
			payload := client.JSON(notePayload{})
			ids := submit(t, cl, repeated(client.Task{Kind: "note", Payload: payload}, tasks)...)
			old := r.grants(tasks)
			sdkWorker{Coordinator: coord.addr, Name: "other", Ledger: book.socket, Slots: tasks}.start(t)
			began := time.Now()
			c.behave(t, r)
			outs := outcomes(t, cl, ids)
			took := time.Since(began)
			for i, out := range outs {
				if out.State != client.Succeeded || out.Worker != "other" || out.Attempts != 1 || out.Token == old[i].GetToken() {
					t.Errorf("task %d, granted before under token %d, ended %+v", out.ID, old[i].GetToken(), out)
				}
				if task := get(t, cl, out.ID); task.GetWorkerLosses() != 0 {
					t.Errorf("task %d: %d losses", out.ID, task.GetWorkerLosses())
				}
			}
			if took > c.limit {
				t.Errorf("it took %s, want %s at the most", took, c.limit)
			}
			t.Logf("done elsewhere after %s, one attempt each", took.Round(10*time.Millisecond))
		})
	}
}

// TestFencedByHand: a raw worker reports a success after its lease was revoked by a forced cancel, and reports tokens that
// it never had. Nothing of it counts, and it is told why.
func TestFencedByHand(t *testing.T) {
	t.Parallel()
	coord := startCoordinator(t)
	cl := coord.client()
	r := dialRaw(t, coord.addr, "raw", 4, "note")
	id := submit(t, cl, client.Task{Kind: "note"})[0]
	lease := r.grants(1)[0]
	if _, err := cl.ForceCancel(bounded(t), id); err != nil {
		t.Fatal(err)
	}
	r.until("the word that the lease is revoked", func(m *pb.SessionResponse) bool {
		return m.GetCancel().GetToken() == lease.GetToken() && m.GetCancel().GetReason() == pb.Cancel_REASON_REVOKED
	})
	success := func(token, task uint64) *pb.AttemptOutcome {
		return &pb.AttemptOutcome{Token: token, TaskId: task, Kind: &pb.AttemptOutcome_Succeeded{Succeeded: &pb.Succeeded{}}}
	}
	r.send(&pb.SessionRequest{ReceivedThrough: 1, Message: &pb.SessionRequest_Outcomes{Outcomes: &pb.Outcomes{
		FirstSeq: 1, Outcomes: []*pb.AttemptOutcome{success(lease.GetToken(), id), success(lease.GetToken()+1000, id), success(1, 999_999)},
	}}})
	ack := r.until("the answer", func(m *pb.SessionResponse) bool { return m.GetOutcomeAck() != nil }).GetOutcomeAck()
	codes := map[uint64]pb.Rejected_Code{}
	for _, x := range ack.GetRejected() {
		codes[x.GetSeq()] = x.GetCode()
	}
	t.Logf("answers: %v", codes)
	if len(codes) != 3 || ack.GetThroughSeq() != 3 {
		t.Errorf("answer %v: want all three refused", ack)
	}
	if out := outcomes(t, cl, []uint64{id})[0]; out.State != client.Cancelled || out.Token == lease.GetToken() {
		t.Errorf("the task ended %+v", out)
	}
}
