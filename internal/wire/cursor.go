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
	data   []byte
	at     int    // the rest is data[at:]
	many   uint32 // bits of the numbers that may come several times
	seen   uint32 // bits of the numbers that have come
	num    protowire.Number
	typ    protowire.Type
	spoilt bool
}

// next goes on to the next field. False: there is none, or the message is spoilt.
func (c *cursor) next() bool {
	if c.at >= len(c.data) || c.spoilt {
		return false
	}
	tag := uint(c.data[c.at])
	c.at++
	if tag >= 0x80 {
		if c.at >= len(c.data) || c.data[c.at] >= 0x80 {
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
	if c.at < len(c.data) && c.data[c.at] < 0x80 {
		c.at++
		return uint64(c.data[c.at-1])
	}
	return c.longVarint()
}

func (c *cursor) longVarint() uint64 {
	v, n := protowire.ConsumeVarint(c.data[c.at:])
	if n < 0 {
		c.spoilt = true
		return 0
	}
	c.at += n
	return v
}

// bytes returns a part of the message.
func (c *cursor) bytes() []byte {
	if c.typ != protowire.BytesType {
		c.spoilt = true
		return nil
	}
	size := c.varint()
	if c.spoilt || size > uint64(len(c.data)-c.at) {
		c.spoilt = true
		return nil
	}
	from := c.at
	c.at += int(size)
	return c.data[from:c.at:c.at]
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

// inner is a cursor over a message within.
func (c *cursor) inner(many uint32) cursor { return cursor{data: c.bytes(), many: many} }

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
			rest.bytes()
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
	for _, b := range x.data {
		if b < 0x80 {
			n++
		}
	}
	if n == 0 {
		c.spoilt = c.spoilt || len(x.data) > 0
		return nil
	}
	list := make([]T, 0, n)
	for x.at < len(x.data) && !x.spoilt {
		list = append(list, T(x.varint()))
	}
	c.leave(&x)
	return list
}
