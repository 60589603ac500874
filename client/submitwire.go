package client

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

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
	tasks    []byte // field by field, as they stand in a SubmitRequest. Not changed once it is handed to gRPC
	producer *yardmasterv1.Producer
	stream   bool // it is the submit of a SubmitStreamRequest
}

// appendTask appends an encoded TaskSpec as a field of a SubmitRequest.
func appendTask(b, spec []byte) []byte {
	b = protowire.AppendTag(b, submitTasks, protowire.BytesType)
	return protowire.AppendBytes(b, spec)
}

// buffers returns the message as it is sent. gRPC may hold on to tasks after the call, so they are never used again.
func (m *encodedSubmit) buffers() (mem.BufferSlice, error) {
	producer, err := proto.Marshal(m.producer)
	if err != nil {
		return nil, err
	}
	tail := protowire.AppendTag(nil, submitProducer, protowire.BytesType)
	tail = protowire.AppendBytes(tail, producer)
	all := mem.BufferSlice{mem.SliceBuffer(m.tasks), mem.SliceBuffer(tail)}
	if !m.stream {
		return all, nil
	}
	head := protowire.AppendTag(nil, streamRequestSubmit, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(m.tasks)+len(tail)))
	return append(mem.BufferSlice{mem.SliceBuffer(head)}, all...), nil
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
