package wire

import (
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	writerBytes     = 8 << 10 // that a writer begins with
	writerBytesKept = 1 << 20 // a writer that has grown beyond is dropped
)

// writer encodes a message from its end to its beginning, each message's last field first: the length of a message within
// stands before it, and so is known when it is written. That spares the walk that the generated code takes beforehand to
// learn the sizes.
//
// A field with its default value is left out, as proto3 does. What the generated code would refuse (text that isn't UTF-8)
// or what isn't written here (unknown fields) spoils the message, and it is left to the generated code.
type writer struct {
	buf    []byte
	at     int // the message so far is buf[at:]
	spoilt bool
}

var writers = sync.Pool{New: func() any { return &writer{buf: make([]byte, writerBytes)} }}

// takeWriter returns an empty writer.
func takeWriter() *writer {
	w := writers.Get().(*writer)
	w.at, w.spoilt = len(w.buf), false
	return w
}

// release gives the writer back; its message is gone.
func (w *writer) release() {
	if len(w.buf) <= writerBytesKept {
		writers.Put(w)
	}
}

// message is what has been written. It is valid until release.
func (w *writer) message() []byte { return w.buf[w.at:] }

// size is how much has been written.
func (w *writer) size() int { return len(w.buf) - w.at }

// room returns the n bytes before what has been written.
func (w *writer) room(n int) []byte {
	if w.at < n {
		size := w.size()
		bigger := make([]byte, max(2*len(w.buf), size+n))
		copy(bigger[len(bigger)-size:], w.buf[w.at:])
		w.buf, w.at = bigger, len(bigger)-size
	}
	w.at -= n
	return w.buf[w.at : w.at+n : w.at+n]
}

func (w *writer) varint(v uint64) {
	n := protowire.SizeVarint(v)
	b := w.room(n)
	for i := range n - 1 {
		b[i] = byte(v) | 0x80
		v >>= 7
	}
	b[n-1] = byte(v)
}

// head writes a tag and what stands right behind it: a number or a length. Both are most often of one byte.
func (w *writer) head(num protowire.Number, typ protowire.Type, v uint64) {
	tag := protowire.EncodeTag(num, typ)
	if tag|v < 0x80 {
		b := w.room(2)
		b[0], b[1] = byte(tag), byte(v)
		return
	}
	w.varint(v)
	w.varint(tag)
}

func (w *writer) uint(num protowire.Number, v uint64) {
	if v != 0 {
		w.head(num, protowire.VarintType, v)
	}
}

func (w *writer) bytes(num protowire.Number, v []byte) {
	if len(v) > 0 {
		copy(w.room(len(v)), v)
		w.close(num, w.size()-len(v))
	}
}

func (w *writer) text(num protowire.Number, s string) {
	if s != "" {
		w.textAlways(num, s)
	}
}

// textAlways writes an empty string too.
func (w *writer) textAlways(num protowire.Number, s string) {
	w.spoilt = w.spoilt || !utf8.ValidString(s)
	copy(w.room(len(s)), s)
	w.close(num, w.size()-len(s))
}

// close makes what was written since the size was `from` the content of a field.
func (w *writer) close(num protowire.Number, from int) {
	w.head(num, protowire.BytesType, uint64(w.size()-from))
}

// plain spoils the message if one of its parts has unknown fields.
func (w *writer) plain(m proto.Message) {
	w.spoilt = w.spoilt || len(m.ProtoReflect().GetUnknown()) > 0
}

func (w *writer) span(num protowire.Number, d *durationpb.Duration) {
	if d != nil {
		w.pair(num, d, d.Seconds, d.Nanos)
	}
}

func (w *writer) time(num protowire.Number, t *timestamppb.Timestamp) {
	if t != nil {
		w.pair(num, t, t.Seconds, t.Nanos)
	}
}

// pair writes a Duration or a Timestamp.
func (w *writer) pair(num protowire.Number, m proto.Message, seconds int64, nanos int32) {
	from := w.size()
	w.plain(m)
	w.uint(2, uint64(nanos))
	w.uint(1, uint64(seconds))
	w.close(num, from)
}

// labels writes a map. Its order is any, as the generated code's is.
func (w *writer) labels(num protowire.Number, m map[string]string) {
	for k, v := range m {
		from := w.size()
		w.textAlways(2, v)
		w.textAlways(1, k)
		w.close(num, from)
	}
}

// generated writes a message within that is rare.
func (w *writer) generated(num protowire.Number, m proto.Message) {
	data, err := proto.Marshal(m)
	if err != nil {
		w.spoilt = true
		return
	}
	from := w.size()
	copy(w.room(len(data)), data)
	w.close(num, from)
}

// numbersTo writes a packed list.
func numbersTo[T uint32 | uint64](w *writer, num protowire.Number, list []T) {
	if len(list) == 0 {
		return
	}
	from := w.size()
	for i := len(list) - 1; i >= 0; i-- {
		w.varint(uint64(list[i]))
	}
	w.close(num, from)
}
