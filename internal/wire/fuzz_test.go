package wire

import (
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"
)

// seeds adds random encodings of all kinds.
func seeds(f *testing.F) {
	for seed := range uint64(60) {
		m := root(uint8(seed))
		random(rand.New(rand.NewPCG(seed, 0)), m.ProtoReflect(), false)
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(seed), data)
	}
	for kind := range uint8(len(roots)) {
		for _, odd := range []string{
			"", "\x00", "\x0a", "\x0a\x05ab", "\x0b\x0c", "\x0a\x00\x0a\x00", "\x12\x00\x12\x00", "\x08\x81\x80\x00", "\x8a\x00\x00",
			"\x0a\x02\x0a\x00\x0a\x03\x0a\x01\xff", "\x0a\x04\x08\x01\x10\x02", "\x0a\x02\x0a\x02\x0a\x00", "\x12\x02\x08\x01\x1a\x00", "\x0a\x01\x80",
			"\x2a\x08\x12\x06\x1a\x00\x22\x00\x2a\x00", "\x12\x05\x12\x03\x6a\x01\x08", "\x08\x01\x08\x02", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		} {
			f.Add(kind, []byte(odd))
		}
	}
}

// FuzzDecode: whatever the bytes, the result is the generated code's.
func FuzzDecode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) { checkDecode(t, kind, data) })
}

// FuzzEncode: whatever message bytes make, unknown fields and all, its encoding is the generated code's.
func FuzzEncode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		m := root(kind)
		if proto.Unmarshal(data, m) == nil {
			checkEncode(t, m)
		}
	})
}

// FuzzMessages: random messages of a seed, also such that can't be encoded, and what a few changes make of their bytes.
func FuzzMessages(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		kind, r := uint8(seed), rand.New(rand.NewPCG(seed, 1))
		m := root(kind)
		random(r, m.ProtoReflect(), true)
		checkEncode(t, m)
		data, err := proto.Marshal(m)
		if err != nil {
			return
		}
		checkDecode(t, kind, data)
		for range 20 {
			checkDecode(t, kind, mutate(r, append([]byte(nil), data...)))
		}
	})
}
