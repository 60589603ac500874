package engine

import "google.golang.org/protobuf/encoding/protowire"

// What the hot path writes, it writes field by field: building messages costs several allocations a task. The bytes are
// those of the generated encoding (TestEncoderAgrees), so that everything is read by it.
//
// A field with its default value is left out, as proto3 does.

func appendUint(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func appendBool(b []byte, num protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return append(protowire.AppendTag(b, num, protowire.VarintType), 1)
}

func appendString(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func appendBytes(b []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return appendMessage(b, num, v)
}

// appendMessage appends an encoded message, also an empty one.
func appendMessage(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

// nest is a message under way whose length is not known yet.
type nest struct {
	at   int // where its content begins
	room int // bytes left before it for the length
}

// openNest begins a message that is expected to be less than 1<<(7*room) bytes long. A wrong guess costs a copy.
func openNest(b []byte, num protowire.Number, room int) ([]byte, nest) {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	b = append(b, "\x00\x00\x00\x00\x00"[:room]...)
	return b, nest{at: len(b), room: room}
}

// closeNest writes the length.
func closeNest(b []byte, n nest) []byte {
	size := len(b) - n.at
	room := protowire.SizeVarint(uint64(size))
	if room > n.room {
		b = append(b, "\x00\x00\x00\x00\x00"[:room-n.room]...)
	}
	from := n.at - n.room
	if room != n.room {
		copy(b[from+room:], b[n.at:n.at+size])
	}
	protowire.AppendVarint(b[:from], uint64(size))
	return b[:from+room+size]
}

// eachField calls f with the fields of an encoded message until it says that it wants no more: with the number of one that
// is a varint, with the bytes of one that has any. What can't be read ends the walk.
func eachField(data []byte, f func(num protowire.Number, n uint64, v []byte) (more bool)) {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return
		}
		data = data[n:]
		var number uint64
		var v []byte
		switch typ {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(data)
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(num, typ, data)
		}
		if n < 0 || !f(num, number, v) {
			return
		}
		data = data[n:]
	}
}
