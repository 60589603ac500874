package wire

import (
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// roots are the messages that the codec handles.
var roots = []proto.Message{
	&yardmasterv1.SubmitRequest{}, &yardmasterv1.SubmitResponse{},
	&yardmasterv1.SubmitStreamRequest{}, &yardmasterv1.SubmitStreamResponse{},
	&yardmasterv1.SessionRequest{}, &yardmasterv1.SessionResponse{},
}

// root is an empty message of the kind that a fuzzer chose.
func root(kind uint8) proto.Message {
	return roots[int(kind)%len(roots)].ProtoReflect().New().Interface()
}

// random fills a message. bad allows text that isn't UTF-8.
func random(r *rand.Rand, m protoreflect.Message, bad bool) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if r.IntN(3) == 0 {
			continue
		}
		switch {
		case f.IsMap():
			for range r.IntN(4) {
				m.Mutable(f).Map().Set(randomScalar(r, f.MapKey(), bad).MapKey(), randomScalar(r, f.MapValue(), bad))
			}
		case f.IsList():
			list := m.Mutable(f).List()
			for range r.IntN(5) {
				if f.Message() == nil {
					list.Append(randomScalar(r, f, bad))
					continue
				}
				random(r, list.AppendMutable().Message(), bad)
			}
		case f.Message() != nil:
			random(r, m.Mutable(f).Message(), bad)
		default:
			m.Set(f, randomScalar(r, f, bad))
		}
	}
	if r.IntN(40) == 0 {
		m.SetUnknown(protoreflect.RawFields{0xf8, 0x07, byte(r.IntN(128))}) // field 127
	}
}

func randomScalar(r *rand.Rand, f protoreflect.FieldDescriptor, bad bool) protoreflect.Value {
	n := r.Uint64() >> r.IntN(64)
	text := []string{"", "a", "default", "größer", strings.Repeat("long", 40)}[r.IntN(5)]
	switch f.Kind() {
	case protoreflect.StringKind:
		if bad && r.IntN(30) == 0 {
			text += "\xff"
		}
		return protoreflect.ValueOfString(text)
	case protoreflect.BytesKind:
		if r.IntN(20) == 0 {
			return protoreflect.ValueOfBytes(make([]byte, arenaShare+r.IntN(3)-1))
		}
		return protoreflect.ValueOfBytes([]byte(text))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n&1 == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(n)))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(n))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(n)
	}
	panic("no random value for a field of kind " + f.Kind().String() + ": add it")
}

// mutate changes an encoding a little: bits, bytes, parts that come twice, an end in the middle.
func mutate(r *rand.Rand, data []byte) []byte {
	for range 1 + r.IntN(3) {
		if len(data) == 0 {
			return []byte{byte(r.Uint32())}
		}
		at := r.IntN(len(data))
		switch r.IntN(5) {
		case 0:
			data[at] ^= 1 << r.IntN(8)
		case 1:
			data[at] = byte(r.Uint32())
		case 2:
			data = data[:at]
		case 3:
			data = append(data, data[at:]...)
		case 4:
			data = append(data[:at:at], data[min(len(data), at+1+r.IntN(4)):]...)
		}
	}
	return data
}

// canonical is the one encoding that equal messages share.
func canonical(t testing.TB, m proto.Message) string {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// checkDecode holds the codec's decoding against the generated code's.
func checkDecode(t testing.TB, kind uint8, data []byte) {
	t.Helper()
	want, got := root(kind), root(kind)
	random(rand.New(rand.NewPCG(1, 2)), got.ProtoReflect(), false) // whatever was there before goes
	wantErr := proto.Unmarshal(data, want)
	input := append([]byte(nil), data...)
	half := len(input) / 2
	err := New().Unmarshal(mem.BufferSlice{mem.SliceBuffer(input[:half]), mem.SliceBuffer(input[half:])}, got)
	one := root(kind)
	fast := decode(input, one)
	clear(input) // nothing of it is kept
	switch {
	case (err == nil) != (wantErr == nil):
		t.Fatalf("%T of %x: error %v, want %v", want, data, err, wantErr)
	case fast && wantErr != nil:
		t.Fatalf("%T of %x is decoded, want %v", want, data, wantErr)
	case wantErr != nil:
		return
	case !proto.Equal(got, want) || canonical(t, got) != canonical(t, want):
		t.Fatalf("%T of %x:\ngot  %v\nwant %v", want, data, got, want)
	case fast && (!proto.Equal(one, want) || canonical(t, one) != canonical(t, want)):
		t.Fatalf("%T of %x, by hand:\ngot  %v\nwant %v", want, data, one, want)
	}
}

// checkEncode holds the codec's encoding against the generated code's.
func checkEncode(t testing.TB, m proto.Message) {
	t.Helper()
	want, wantErr := proto.Marshal(m)
	slice, err := New().Marshal(m)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%T %v: error %v, want %v", m, m, err, wantErr)
	}
	if wantErr != nil {
		return
	}
	data := slice.Materialize()
	slice.Free()
	got := m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(data, got); err != nil {
		t.Fatalf("%T %v: what was encoded can't be read: %v", m, m, err)
	}
	if len(data) != len(want) || !proto.Equal(got, m) || canonical(t, got) != canonical(t, m) {
		t.Fatalf("%T: encoded in %d bytes, want %d\ngot  %v\nwant %v", m, len(data), len(want), got, m)
	}
}
