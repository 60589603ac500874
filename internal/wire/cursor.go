package wire

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	numberMost = 31      // of a field that the cursor reads
	listMost   = 1 << 14 // elements of a list: more than any that is accepted; longer ones are left to the generated code
)

// cursor reads the fields of a message, in any order. What it doesn't expect is spoilt, and is left to the generated code,
// which reads every form. It moves an index, not the slice: a pointer written at each step costs a write barrier while the
// garbage collector marks.
type cursor struct {
	data   []byte // the whole of what was received
	at     int    // the rest of this message is data[at:end]
	end    int
	many   uint32 // bits of the numbers that may come several times
	seen   uint32 // bits of the numbers that have come
	num    protowire.Number
	typ    protowire.Type
	spoilt bool
}

// next goes on to the next field. False: there is none, or the message is spoilt.
func (c *cursor) next() bool {
	if c.at >= c.end || c.spoilt {
		return false
	}
	tag := uint(c.data[c.at])
	c.at++
	if tag >= 0x80 {
		if c.at >= c.end || c.data[c.at] >= 0x80 {
			c.spoilt = true
			return false
		}
		tag = tag&0x7f | uint(c.data[c.at])<<7
		c.at++
	}
	num := tag >> 3
	bit := uint32(1) << (num & numberMost)
	if num == 0 || num > numberMost || c.seen&bit&^c.many != 0 { // of a scalar the last one counts, messages are merged
		c.spoilt = true
		return false
	}
	c.seen |= bit
	c.num, c.typ = protowire.Number(num), protowire.Type(tag&7)
	return true
}

func (c *cursor) uint() uint64 {
	if c.typ != protowire.VarintType {
		c.spoilt = true
		return 0
	}
	return c.varint()
}

func (c *cursor) varint() uint64 {
	if c.at < c.end && c.data[c.at] < 0x80 {
		c.at++
		return uint64(c.data[c.at-1])
	}
	return c.longVarint()
}

func (c *cursor) longVarint() uint64 {
	v, n := protowire.ConsumeVarint(c.data[c.at:c.end])
	if n < 0 {
		c.spoilt = true
		return 0
	}
	c.at += n
	return v
}

// part passes over a part of the message and says where it stands in data.
func (c *cursor) part() (from, to int) {
	if c.typ != protowire.BytesType {
		c.spoilt = true
		return 0, 0
	}
	size := c.varint()
	if c.spoilt || size > uint64(c.end-c.at) {
		c.spoilt = true
		return 0, 0
	}
	c.at += int(size)
	return c.at - int(size), c.at
}

// bytes returns a part of the message.
func (c *cursor) bytes() []byte {
	from, to := c.part()
	return c.data[from:to]
}

// text returns a string, if possible the last one: neighbours in a list often have the same.
func (c *cursor) text(last *string) string {
	v := c.bytes()
	if string(v) == *last {
		return *last
	}
	if !utf8.Valid(v) {
		c.spoilt = true
		return ""
	}
	*last = string(v)
	return *last
}

// whole is a cursor over what was received.
func whole(data []byte) cursor { return cursor{data: data, end: len(data)} }

// inner is a cursor over a message within.
func (c *cursor) inner(many uint32) cursor {
	from, to := c.part()
	return cursor{data: c.data, at: from, end: to, many: many}
}

// leave ends the reading of a message within.
func (c *cursor) leave(x *cursor) { c.spoilt = c.spoilt || x.spoilt }

// pair reads a Duration or a Timestamp.
func (c *cursor) pair(seconds *int64, nanos *int32) {
	x := c.inner(0)
	for x.next() {
		switch x.num {
		case 1:
			*seconds = int64(x.uint())
		case 2:
			*nanos = int32(x.uint())
		default:
			x.spoilt = true
		}
	}
	c.leave(&x)
}

// generated reads a message within that is rare.
func (c *cursor) generated(m proto.Message) {
	c.spoilt = proto.Unmarshal(c.bytes(), m) != nil || c.spoilt
}

// count is how many elements of the list that begins here there are in all, so that it is made at once.
func (c *cursor) count() int {
	n := 0
	for rest := *c; ; {
		if rest.num == c.num {
			n++
		}
		if rest.typ == protowire.VarintType {
			rest.varint()
		} else {
			rest.part()
		}
		if !rest.next() {
			break
		}
	}
	c.spoilt = c.spoilt || n > listMost
	return min(n, listMost)
}

// numbers reads a packed list.
func numbers[T uint32 | uint64](c *cursor) []T {
	x := c.inner(0)
	n := 0
	for _, b := range x.data[x.at:x.end] {
		if b < 0x80 {
			n++
		}
	}
	if n == 0 {
		c.spoilt = c.spoilt || x.at < x.end
		return nil
	}
	list := make([]T, 0, n)
	for x.at < x.end && !x.spoilt {
		list = append(list, T(x.varint()))
	}
	c.leave(&x)
	return list
}
