package engine

import (
	"encoding/binary"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/encoding/protowire"
)

// cursor reads the fields of a message as the encoder writes them: in order of number, each once but for the repeated ones,
// numbers up to 15. What isn't so is spoilt, and is left to the generated code, which reads every form.
type cursor struct {
	data   []byte
	num    protowire.Number // of the field under way
	typ    protowire.Type
	spoilt bool
}

// next goes on to the next field; repeated is the number of the one that may come several times, or 0.
func (c *cursor) next(repeated protowire.Number) bool {
	if len(c.data) == 0 || c.spoilt {
		return false
	}
	tag := c.data[0]
	num := protowire.Number(tag >> 3)
	if tag >= 0x80 || num < c.num || num == c.num && num != repeated || num == 0 {
		c.spoilt = true
		return false
	}
	c.num, c.typ = num, protowire.Type(tag&7)
	c.data = c.data[1:]
	return true
}

func (c *cursor) uint() uint64 {
	v, n := protowire.ConsumeVarint(c.data)
	if n < 0 || c.typ != protowire.VarintType {
		c.spoilt = true
		return 0
	}
	c.data = c.data[n:]
	return v
}

func (c *cursor) bool() bool { return c.uint() != 0 }

// bytes returns a part of the message.
func (c *cursor) bytes() []byte {
	size, n := protowire.ConsumeVarint(c.data)
	if n < 0 || c.typ != protowire.BytesType || size > uint64(len(c.data)-n) {
		c.spoilt = true
		return nil
	}
	v := c.data[n : n+int(size) : n+int(size)]
	c.data = c.data[n+int(size):]
	return v
}

// some is bytes of a field that is left out when it is empty.
func (c *cursor) some() []byte {
	v := c.bytes()
	c.spoilt = c.spoilt || len(v) == 0
	return v
}

func (c *cursor) fixed64() uint64 {
	if c.typ != protowire.Fixed64Type || len(c.data) < 8 {
		c.spoilt = true
		return 0
	}
	v := binary.LittleEndian.Uint64(c.data)
	c.data = c.data[8:]
	return v
}

func (c *cursor) hash(h *scheduler.Hash128) {
	v := c.bytes()
	c.spoilt = c.spoilt || len(v) != len(h)
	copy(h[:], v)
}

// count is how many times a field comes in the rest of the message, so that a list is made at once.
func (c *cursor) count(of protowire.Number) int {
	n := 0
	for rest := *c; rest.next(of); {
		switch rest.typ {
		case protowire.VarintType:
			rest.uint()
		case protowire.BytesType:
			rest.bytes()
		default:
			return n
		}
		if rest.num == of {
			n++
		}
	}
	return n
}
