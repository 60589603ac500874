package wire

import (
	"math/bits"
	"sync"
)

const (
	tierLeast = 10 // 1 KiB: gRPC doesn't pool less
	tierMost  = 23 // 8 MiB: more than a server accepts

	otherBytesMax = 32 << 10 // the largest message that gRPC's own pool has a fitting size for, or nearly so
)

// buffers is the memory of messages on their way. gRPC's own pool knows no size between 32 KiB and 1 MiB and clears the
// whole of a buffer when it is taken, which for a message of 40 KiB costs more than decoding it does. Here a buffer is at
// most twice as large as asked for and is not cleared: who takes one overwrites it.
var buffers pool

// pool is a mem.BufferPool of sizes that are powers of two.
type pool struct{ tiers [tierMost + 1]sync.Pool }

// Get returns a buffer of a length, with any content.
func (p *pool) Get(length int) *[]byte {
	tier := max(tierLeast, bits.Len(uint(max(0, length-1))))
	if tier > tierMost {
		b := make([]byte, length)
		return &b
	}
	if b, ok := p.tiers[tier].Get().(*[]byte); ok {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, 1<<tier)
	return &b
}

// Put takes a buffer back.
func (p *pool) Put(b *[]byte) {
	tier := bits.Len(uint(cap(*b))) - 1
	if tier >= tierLeast && tier <= tierMost && cap(*b) == 1<<tier {
		p.tiers[tier].Put(b)
	}
}
