package wire

import (
	"google.golang.org/grpc/encoding"
	standard "google.golang.org/grpc/encoding/proto" // registers gRPC's own codec
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Codec is a gRPC codec of protobuf: exactly gRPC's own, at less cost for the messages that come in masses. It may be used
// from many goroutines at once.
type Codec struct{ generated encoding.CodecV2 }

// New returns a codec.
func New() Codec { return Codec{encoding.GetCodecV2(standard.Name)} }

// Name is "proto": on the wire nobody can tell this codec from gRPC's own.
func (c Codec) Name() string { return standard.Name }

// Marshal encodes a message. Errors are those of the generated code.
func (c Codec) Marshal(v any) (mem.BufferSlice, error) {
	w := takeWriter()
	defer w.release()
	if !w.encode(v) {
		return c.marshalOther(v)
	}
	return mem.BufferSlice{mem.Copy(w.message(), &buffers)}, nil
}

// marshalOther has the generated code encode a message, into a buffer of ours if it is large: in gRPC's it would hold 1 MiB
// for as long as its receiver doesn't read, which a hundred watchers that don't read made 200 MiB.
func (c Codec) marshalOther(v any) (mem.BufferSlice, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return c.generated.Marshal(v)
	}
	size := proto.Size(m)
	if size <= otherBytesMax {
		return c.generated.Marshal(v)
	}
	buf := buffers.Get(size)
	data, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend((*buf)[:0], m)
	if err != nil {
		buffers.Put(buf)
		return nil, err
	}
	*buf = data
	return mem.BufferSlice{mem.NewBuffer(buf, &buffers)}, nil
}

// Unmarshal decodes a message. Errors are those of the generated code. v keeps nothing of data.
func (c Codec) Unmarshal(data mem.BufferSlice, v any) error {
	if !handles(v) {
		return c.generated.Unmarshal(data, v)
	}
	received := data.MaterializeToBuffer(&buffers)
	defer received.Free()
	if decode(received.ReadOnlyData(), v) {
		return nil
	}
	return c.generated.Unmarshal(mem.BufferSlice{received}, v)
}

// handles reports whether decode knows the message.
func handles(v any) bool {
	switch v.(type) {
	case *yardmasterv1.SubmitRequest, *yardmasterv1.SubmitResponse,
		*yardmasterv1.SubmitStreamRequest, *yardmasterv1.SubmitStreamResponse,
		*yardmasterv1.SessionRequest, *yardmasterv1.SessionResponse:
		return true
	}
	return false
}

// decode decodes a message that comes in masses in its usual form. False: it isn't one, and what v holds is of no use.
func decode(data []byte, v any) bool {
	var d decoder
	c := whole(data)
	switch m := v.(type) {
	case *yardmasterv1.SubmitRequest:
		m.Reset()
		d.submitRequest(&c, m)
	case *yardmasterv1.SubmitResponse:
		m.Reset()
		d.submitResponse(&c, m)
	case *yardmasterv1.SubmitStreamRequest:
		m.Reset()
		d.submitStreamRequest(&c, m)
	case *yardmasterv1.SubmitStreamResponse:
		m.Reset()
		d.submitStreamResponse(&c, m)
	case *yardmasterv1.SessionRequest:
		m.Reset()
		d.sessionRequest(&c, m)
	case *yardmasterv1.SessionResponse:
		m.Reset()
		d.sessionResponse(&c, m)
	default:
		return false
	}
	return !c.spoilt
}

// encode encodes a message that comes in masses. False: it is left to the generated code.
func (w *writer) encode(v any) bool {
	switch m := v.(type) {
	case *yardmasterv1.SubmitRequest:
		w.submitRequest(m)
	case *yardmasterv1.SubmitResponse:
		w.submitResponse(m)
	case *yardmasterv1.SubmitStreamRequest:
		w.submitStreamRequest(m)
	case *yardmasterv1.SubmitStreamResponse:
		w.submitStreamResponse(m)
	case *yardmasterv1.SessionRequest:
		w.sessionRequest(m)
	case *yardmasterv1.SessionResponse:
		w.sessionResponse(m)
	default:
		return false
	}
	return !w.spoilt
}
