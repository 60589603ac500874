package wire

import (
	"bytes"
	"fmt"
	"testing"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Whoever imports this package keeps gRPC's codec for other services.
func TestIsNotRegistered(t *testing.T) {
	if c, ok := encoding.GetCodecV2("proto").(Codec); ok {
		t.Errorf("gRPC's codec is %T, want its own", c)
	}
	if name := New().Name(); name != "proto" {
		t.Errorf("name %q, want proto", name)
	}
}

// What isn't a protobuf message is refused as gRPC's codec does.
func TestRefusesOthers(t *testing.T) {
	if _, err := New().Marshal("text"); err == nil {
		t.Error("a string was encoded")
	}
	if err := New().Unmarshal(nil, new(string)); err == nil {
		t.Error("a string was decoded")
	}
	checkEncode(t, &yardmasterv1.Task{Id: 7, Kind: "k"})
}

// A nil element of a list is an empty message.
func TestNilElements(t *testing.T) {
	var none *yardmasterv1.SubmitRequest
	for _, m := range []proto.Message{
		&yardmasterv1.SubmitRequest{Tasks: []*yardmasterv1.TaskSpec{nil, {Kind: "k"}, nil}},
		&yardmasterv1.SessionResponse{Message: &yardmasterv1.SessionResponse_Grants{}},
		&yardmasterv1.SessionResponse{Message: &yardmasterv1.SessionResponse_OutcomeAck{OutcomeAck: &yardmasterv1.OutcomeAck{
			Rejected: []*yardmasterv1.Rejected{nil},
		}}},
		&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Outcomes{Outcomes: &yardmasterv1.Outcomes{
			Outcomes: []*yardmasterv1.AttemptOutcome{nil, {Kind: &yardmasterv1.AttemptOutcome_Succeeded{}}},
		}}},
		&yardmasterv1.SessionRequest{Message: &yardmasterv1.SessionRequest_Started{}},
		&yardmasterv1.SubmitStreamResponse{Answer: &yardmasterv1.SubmitStreamResponse_Stored{}},
		none,
	} {
		want, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := New().Marshal(m)
		if err != nil || !bytes.Equal(got.Materialize(), want) {
			t.Errorf("%T %v: %x, error %v, want %x", m, m, got.Materialize(), err, want)
		}
	}
}

// Lists that no request may have aren't made ahead of being read.
func TestLongListsAreLeft(t *testing.T) {
	for n, byHand := range map[int]bool{listMost: true, listMost + 1: false} {
		data := bytes.Repeat([]byte{0x0a, 0x00}, n)
		var m yardmasterv1.SubmitRequest
		if got := decode(data, &m); got != byHand {
			t.Errorf("%d tasks: read by hand: %v, want %v", n, got, byHand)
		}
		if err := New().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, &m); err != nil || len(m.GetTasks()) != n {
			t.Errorf("%d tasks: got %d, error %v", n, len(m.GetTasks()), err)
		}
	}
}

// A message is written whole wherever the writer's memory ends.
func TestWriterGrows(t *testing.T) {
	m := &yardmasterv1.SubmitRequest{
		Tasks:    []*yardmasterv1.TaskSpec{{Kind: "k", Payload: bytes.Repeat([]byte{7}, 150)}, {IdempotencyKey: "a key"}},
		Producer: &yardmasterv1.Producer{Id: make([]byte, 16), Number: 1 << 40},
	}
	want, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(want) + 2 {
		w := &writer{buf: make([]byte, n), at: n}
		if !w.encode(m) || !bytes.Equal(w.message(), want) {
			t.Fatalf("with %d bytes at first: %x, want %x", n, w.message(), want)
		}
	}
}

// A value that is held keeps a small piece of memory, however large its message was; none can grow into its neighbour.
func TestArenaSharesLittle(t *testing.T) {
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i >> 8)
	}
	var a arena
	var from, shared, pieces int
	for i := 1; from+i*21 < len(data); i++ {
		to, before := from+i*20, a.to
		v := a.keep(data, from, to)
		if !bytes.Equal(v, data[from:to]) {
			t.Fatalf("%d bytes at %d aren't what stands there", len(v), from)
		}
		if cap(v) != len(v) && len(v) <= arenaShare {
			t.Fatalf("%d bytes have room for %d", len(v), cap(v))
		}
		if len(a.chunk) > arenaChunk {
			t.Fatalf("a piece of %d bytes, want at most %d", len(a.chunk), arenaChunk)
		}
		if in := from >= a.from && to <= a.to; in != (len(v) <= arenaShare) {
			t.Fatalf("%d bytes share memory: %v", len(v), in)
		} else if in {
			shared++
		}
		if a.to != before {
			pieces++
		}
		from += i * 21
	}
	if shared != 204 || pieces > shared/3 {
		t.Errorf("%d parts share %d pieces", shared, pieces)
	}
	var small arena
	if v := small.keep(data[:100], 10, 20); len(small.chunk) != 90 || v == nil {
		t.Errorf("a message of 100 bytes takes a piece of %d", len(small.chunk))
	}
	if v := small.keep(data, 20, 20); v != nil {
		t.Errorf("nothing is kept as %#v", v)
	}
}

// A buffer is as long as asked for, and at most twice as large.
func TestPool(t *testing.T) {
	var p pool
	for _, n := range []int{0, 1, 1023, 1024, 1025, 40_000, 1 << 20, 1<<23 - 1, 1 << 23, 1<<23 + 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			for range 3 {
				b := p.Get(n)
				if len(*b) != n || cap(*b) > max(1<<tierLeast, 2*n) {
					t.Fatalf("len %d, cap %d", len(*b), cap(*b))
				}
				*b = (*b)[:n/2]
				p.Put(b)
			}
		})
	}
	foreign := make([]byte, 3000)
	p.Put(&foreign)
	if b := p.Get(3000); cap(*b) < 1<<12 {
		t.Errorf("a buffer of %d bytes, want 4096", cap(*b))
	}
}
