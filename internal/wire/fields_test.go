package wire

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// leftToGenerated are the fields of handled messages that don't come in masses: a message with one of them is the
// generated code's.
var leftToGenerated = []protoreflect.FullName{
	"yardmaster.v1.SubmitStreamResponse.error",
	"yardmaster.v1.SessionRequest.hello", "yardmaster.v1.SessionRequest.heartbeat", "yardmaster.v1.SessionRequest.draining",
	"yardmaster.v1.SessionRequest.drained", "yardmaster.v1.SessionRequest.goodbye", "yardmaster.v1.SessionRequest.recalled",
	"yardmaster.v1.SessionResponse.welcome", "yardmaster.v1.SessionResponse.heartbeat_ack",
	"yardmaster.v1.SessionResponse.cancel", "yardmaster.v1.SessionResponse.recall",
}

// Every field of every handled message, on its own, is written and read by hand, and comes through as it was. A field that
// the contract gains fails here until decode and encode know it: the hand-written encoding would silently leave it out.
func TestKnowsEveryField(t *testing.T) {
	left := 0
	for _, m := range roots {
		eachPath(m.ProtoReflect().Descriptor(), nil, func(path []protoreflect.FieldDescriptor) bool {
			m := m.ProtoReflect().New().Interface()
			setPath(m.ProtoReflect(), path)
			name := pathName(m, path)
			want, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			byHand := !slices.Contains(leftToGenerated, path[len(path)-1].FullName())
			w := takeWriter()
			defer w.release()
			got := m.ProtoReflect().New().Interface()
			switch {
			case w.encode(m) != byHand:
				t.Errorf("%s: written by hand: %v, want %v; write it in encode_*.go, or name it in leftToGenerated", name, !byHand, byHand)
			case byHand && string(w.message()) != string(want):
				t.Errorf("%s is encoded as %x, want %x: write it in encode_*.go", name, w.message(), want)
			case decode(want, got) != byHand:
				t.Errorf("%s: read by hand: %v, want %v; read it in decode_*.go, or name it in leftToGenerated", name, !byHand, byHand)
			case byHand && !proto.Equal(got, m):
				t.Errorf("%s comes through as %v, want %v: read it in decode_*.go", name, got, m)
			}
			checkEncode(t, m)
			if !byHand {
				left++
			}
			return byHand
		})
	}
	if left != len(leftToGenerated) {
		t.Errorf("met %d fields that are left to the generated code, leftToGenerated names %d: drop those that are gone", left, len(leftToGenerated))
	}
}

// eachPath calls visit with the way to every field, and goes on below it if visit says so.
func eachPath(d protoreflect.MessageDescriptor, above []protoreflect.FieldDescriptor, visit func([]protoreflect.FieldDescriptor) bool) {
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		path := append(slices.Clone(above), f)
		if visit(path) && f.Message() != nil && !f.IsMap() {
			eachPath(f.Message(), path, visit)
		}
	}
}

// setPath sets what is at the end of the path, and what it takes to get there. Lists get two elements.
func setPath(m protoreflect.Message, path []protoreflect.FieldDescriptor) {
	f := path[0]
	r := rand.New(rand.NewPCG(7, 7))
	value := func() protoreflect.Value {
		for {
			if v := randomScalar(r, f, false); !v.Equal(f.Default()) && f.Kind() != protoreflect.BytesKind || len(v.String()) > 10 {
				return v
			}
		}
	}
	switch {
	case f.IsMap():
		m.Mutable(f).Map().Set(protoreflect.ValueOfString("key").MapKey(), protoreflect.ValueOfString("value"))
	case f.IsList() && f.Message() == nil:
		m.Mutable(f).List().Append(value())
		m.Mutable(f).List().Append(value())
	case f.Message() == nil:
		m.Set(f, value())
	default:
		below := []protoreflect.Message{}
		if f.IsList() {
			list := m.Mutable(f).List()
			below = append(below, list.AppendMutable().Message(), list.AppendMutable().Message())
		} else {
			below = append(below, m.Mutable(f).Message())
		}
		for _, x := range below {
			if len(path) > 1 {
				setPath(x, path[1:])
			}
		}
	}
}

func pathName(m proto.Message, path []protoreflect.FieldDescriptor) string {
	names := []string{string(m.ProtoReflect().Descriptor().FullName())}
	for _, f := range path {
		names = append(names, string(f.Name()))
	}
	return strings.Join(names, ".")
}
