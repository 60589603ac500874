package rpc

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// rawCodec hands messages over as bytes, so that a test says exactly what a released worker says, and sees exactly what
// one is sent.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// rawWorker speaks protocol version 1 as it was released, field number by field number.
type rawWorker struct {
	t  *testing.T
	gs grpc.ClientStream

	received, answers uint64
}

func (r *rig) raw() *rawWorker {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.ctx)
	r.t.Cleanup(cancel)
	gs, err := r.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
		"/yardmaster.v1.WorkerService/Session", grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		r.t.Fatal(err)
	}
	return &rawWorker{t: r.t, gs: gs}
}

func field(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

func block(num protowire.Number, parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), all)
}

// say sends a message with the two confirmations that version 1 puts on each.
func (w *rawWorker) say(message []byte) {
	w.t.Helper()
	var b []byte
	if w.received > 0 {
		b = append(b, field(1, w.received)...)
	}
	if w.answers > 0 {
		b = append(b, field(2, w.answers)...)
	}
	b = append(b, message...)
	if err := w.gs.SendMsg(&b); err != nil {
		w.t.Fatal(err)
	}
}

// hello is what a worker of version 1 with 2 slots says first.
func rawHello(resume []byte) []byte {
	incarnation := make([]byte, 16)
	incarnation[0] = 9
	return block(3, field(1, 1), block(2, []byte("old")), block(3, incarnation), block(4, []byte("k")),
		block(7, block(1, []byte("main")), field(2, 2), block(3, []byte("k"))), field(8, 4<<20), resume)
}

// releasedFields are the numbers of SessionResponse's messages and of their fields that version 1 was released with.
var releasedFields = map[protowire.Number]protowire.Number{1: 7, 2: 2, 3: 2, 4: 1, 5: 3}

// hear receives one message and wants nothing in it that version 1 doesn't have, but for the Welcome's version, which says
// that it is 1.
func (w *rawWorker) hear() *yardmasterv1.SessionResponse {
	w.t.Helper()
	var b []byte
	if err := w.gs.RecvMsg(&b); err != nil {
		w.t.Fatal(err)
	}
	num, _, n := protowire.ConsumeTag(b)
	body, _ := protowire.ConsumeBytes(b[n:])
	most, known := releasedFields[num]
	if !known {
		w.t.Fatalf("message %d is sent to a worker of version 1", num)
	}
	for len(body) > 0 {
		at, kind, n := protowire.ConsumeTag(body)
		value := body[n:]
		size := protowire.ConsumeFieldValue(at, kind, value)
		if at > most && (num != 1 || at != 8 || value[0] != 1) {
			w.t.Fatalf("field %d of message %d is sent to a worker of version 1", at, num)
		}
		body = value[size:]
	}
	m := &yardmasterv1.SessionResponse{}
	if err := proto.Unmarshal(b, m); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// TestReleasedWorker takes a worker of version 1 through its life: open, leases, outcomes, a cancel, a lost stream and its
// resumption, leases held for long and wanted elsewhere, drain and goodbye.
func TestReleasedWorker(t *testing.T) {
	inBubble(t, func(r *rig) {
		w := r.raw()
		w.say(rawHello(nil))
		welcome := w.hear().GetWelcome()
		if welcome.GetSessionId() == 0 || welcome.GetProtocolVersion() != 1 {
			t.Fatalf("welcome %v", welcome)
		}
		if pools := r.e.Sessions()[0].Worker.Pools; pools[0].Prefetch != 0 {
			t.Fatalf("pools %+v", pools)
		}
		first := r.submit(3, 10)
		leases := w.hear().GetGrants().GetLeases()
		if len(leases) != 2 {
			t.Fatalf("leases %v", leases)
		}
		w.received = 1
		one, two := leases[0], leases[1]
		w.say(block(4, block(1, protowire.AppendVarint(nil, one.GetToken()))))
		w.say(block(6, field(1, 77)))
		if w.hear().GetHeartbeatAck().GetSendTimeNanos() != 77 {
			t.Fatal("no answer to the heartbeat")
		}
		w.say(block(5, field(1, 1), block(2, field(1, one.GetToken()), field(2, one.GetTaskId()), block(3, block(1, []byte("done"))))))
		if ack := w.hear().GetOutcomeAck(); ack.GetThroughSeq() != 1 || len(ack.GetRejected()) != 0 {
			t.Fatalf("ack %v", ack)
		}
		w.answers = 1
		three := w.hear().GetGrants().GetLeases()[0]
		w.received = 2
		w.say(nil)
		synctest.Wait()

		// Both leases are held unstarted for a minute, and the core would have them back.
		session := r.e.Sessions()[0]
		r.e.wantBack(session.ID, session.Attach, two.GetToken(), three.GetToken())
		for range 12 {
			w.say(block(6, field(1, 5)))
			w.hear()
			r.pass(5 * time.Second)
		}
		if n := len(r.e.ops(scheduler.OpRelease)); n != 0 {
			t.Fatalf("%d releases", n)
		}

		if err := w.gs.CloseSend(); err != nil {
			t.Fatal(err)
		}
		var b []byte
		for w.gs.RecvMsg(&b) == nil {
		}
		w2 := r.raw()
		w2.answers = 1
		known := func(token, task, phase uint64) []byte {
			return block(2, field(1, token), field(2, phase), field(3, 1), block(4, []byte("main")), field(5, task))
		}
		w2.say(rawHello(block(9, field(1, welcome.GetSessionId()), known(two.GetToken(), two.GetTaskId(), 1), known(three.GetToken(), three.GetTaskId(), 2))))
		again := w2.hear().GetWelcome()
		if again.GetSessionId() != welcome.GetSessionId() || again.GetNewSession() || len(again.GetStopTokens()) != 0 || again.GetOutcomesThrough() != 1 {
			t.Fatalf("welcome %v", again)
		}
		if _, err := r.tasks.Cancel(r.ctx, &yardmasterv1.TaskServiceCancelRequest{TaskIds: []uint64{first + 2}}); err != nil {
			t.Fatal(err)
		}
		if c := w2.hear().GetCancel(); c.GetToken() != three.GetToken() {
			t.Fatalf("cancel %v", c)
		}
		w2.say(block(7, field(1, 1), field(2, 1)))
		w2.say(block(5, field(1, 2), block(2, field(1, three.GetToken()), field(2, three.GetTaskId()), block(5)),
			block(2, field(1, two.GetToken()), field(2, two.GetTaskId()), block(6, block(1, []byte("the worker stops"))))))
		if ack := w2.hear().GetOutcomeAck(); ack.GetThroughSeq() != 3 || len(ack.GetRejected()) != 0 {
			t.Fatalf("ack %v", ack)
		}
		w2.answers = 3
		w2.say(block(8))
		w2.say(block(9))
		if err := w2.gs.RecvMsg(&b); err == nil || !strings.Contains(err.Error(), "EOF") {
			t.Fatalf("the stream ended with %v", err)
		}
		if len(r.e.Sessions()) != 0 {
			t.Fatal("the session isn't closed")
		}
	})
}

func TestProtocolVersions(t *testing.T) {
	inBubble(t, func(r *rig) {
		h := helloOf("w0", 1, 4)
		h.ProtocolVersion = 0
		st := wantStatus(t, r.open(h).ends().Err(), codes.FailedPrecondition, ReasonProtocol)
		if want := "the worker speaks protocol version 0, this coordinator 1 to 2: upgrade the worker"; st.Message() != want {
			t.Fatalf("message %q", st.Message())
		}
		for said, spoken := range map[uint32]uint32{1: 1, 2: 2, 3: 2, 1000: 2} {
			h := helloOf(fmt.Sprintf("w%d", said), 1, 4)
			h.ProtocolVersion = said
			h.Pools[0].Prefetch = 7
			_, w := r.welcomed(h)
			if w.GetProtocolVersion() != spoken {
				t.Fatalf("said %d, spoken is %d", said, w.GetProtocolVersion())
			}
			got, err := r.ops.GetWorker(r.ctx, &yardmasterv1.GetWorkerRequest{Name: h.GetWorkerName()})
			if err != nil || got.GetSessions()[0].GetWorker().GetProtocolVersion() != spoken {
				t.Fatalf("%v, %v", got, err)
			}
			for _, x := range r.e.Sessions() {
				if x.Worker.Name == h.GetWorkerName() && uint32(x.Worker.Pools[0].Prefetch) != 7*(spoken-1) {
					t.Fatalf("version %d has prefetch %d", said, x.Worker.Pools[0].Prefetch)
				}
			}
		}
		h = helloOf("w9", 1, 4)
		h.ProtocolVersion, h.Pools[0].Prefetch = 2, scheduler.PrefetchMax+1
		wantStatus(t, r.open(h).ends().Err(), codes.InvalidArgument, ReasonInvalid)
	})
}
