package client

import (
	"sync"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/wire"
)

// Numbers of the fields that are written by hand here; a test holds them against the generated code.
const (
	streamRequestSubmit protowire.Number = 1 // SubmitStreamRequest.submit
	submitTasks         protowire.Number = 1 // SubmitRequest.tasks
	submitProducer      protowire.Number = 2 // SubmitRequest.producer
)

// encodedSubmit is a SubmitRequest whose tasks were encoded as they came: each once, by the goroutine that submits it,
// however often the request is sent. Handing gRPC the generated message would keep every task as a tree of pointers until
// the answer and walk all of them in the one sending goroutine, twice.
type encodedSubmit struct {
	parcel   *parcel    // whose it is
	tasks    mem.Buffer // field by field, as they stand in a SubmitRequest. Whoever sends the message frees it after
	producer *yardmasterv1.Producer
	stream   bool // it is the submit of a SubmitStreamRequest
}

// appendTask appends an encoded TaskSpec as a field of a SubmitRequest.
func appendTask(b, spec []byte) []byte {
	b = protowire.AppendTag(b, submitTasks, protowire.BytesType)
	return protowire.AppendBytes(b, spec)
}

// buffers returns the message as it is sent. gRPC may hold on to tasks after the call, until it frees them.
func (m *encodedSubmit) buffers() (mem.BufferSlice, error) {
	producer, err := proto.Marshal(m.producer)
	if err != nil {
		return nil, err
	}
	tail := protowire.AppendTag(nil, submitProducer, protowire.BytesType)
	tail = protowire.AppendBytes(tail, producer)
	m.tasks.Ref()
	if !m.stream {
		return mem.BufferSlice{m.tasks, mem.SliceBuffer(tail)}, nil
	}
	head := protowire.AppendTag(nil, streamRequestSubmit, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(m.tasks.Len()+len(tail)))
	return mem.BufferSlice{mem.SliceBuffer(head), m.tasks, mem.SliceBuffer(tail)}, nil
}

// scratch is where a task is encoded.
type scratch struct {
	spec  yardmasterv1.TaskSpec
	spans [4]durationpb.Duration
	data  []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// encode returns a task's encoding, which the next one overwrites.
func (s *scratch) encode(task *Task) ([]byte, error) {
	task.fill(&s.spec, &s.spans)
	data, err := proto.MarshalOptions{}.MarshalAppend(s.data[:0], &s.spec)
	(&Task{}).fill(&s.spec, &s.spans) // keeps nothing of the task
	if cap(data) <= SubmitterBytesMax {
		s.data = data
	}
	return data, err
}

// rooms is the pool of the memory in which tasks gather. What a request needed, the next finds.
type rooms struct{}

var spareRooms = sync.Pool{New: func() any { return new([]byte) }}

// Get returns empty room: where there is less than n bytes, it grows with what is put into it.
func (rooms) Get(int) *[]byte { return spareRooms.Get().(*[]byte) }

// Put takes room back, but none that a single large task has made.
func (rooms) Put(room *[]byte) {
	if cap(*room) <= 2*SubmitterBytesMax {
		*room = (*room)[:0]
		spareRooms.Put(room)
	}
}

// submitCodec is the connection's codec, which takes an encodedSubmit as well.
type submitCodec struct{ wire.Codec }

func newSubmitCodec() submitCodec { return submitCodec{wire.New()} }

func (c submitCodec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*encodedSubmit); ok {
		return m.buffers()
	}
	return c.Codec.Marshal(v)
}
