package engine

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/batch"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// argsOf says which argument each command takes.
var argsOf = map[scheduler.Op]string{
	scheduler.OpBeginTerm: "BeginTerm", scheduler.OpTick: "", scheduler.OpSubmit: "Submit", scheduler.OpCancel: "Cancel",
	scheduler.OpRetry: "Retry", scheduler.OpOpenSession: "Open", scheduler.OpResumeSession: "Resume",
	scheduler.OpAttach: "Session", scheduler.OpDetach: "Session", scheduler.OpRelease: "Session",
	scheduler.OpExpireSession: "Session", scheduler.OpDrainSession: "Session", scheduler.OpCloseSession: "Session",
	scheduler.OpTimeoutLeases: "Session", scheduler.OpOutcomes: "Outcomes", scheduler.OpPauseQueue: "Queue",
	scheduler.OpResumeQueue: "Queue", scheduler.OpConfigureQueue: "Queue", scheduler.OpForget: "Forget",
	scheduler.OpDelete: "Delete", scheduler.OpSetLogic: "SetLogic", scheduler.OpRestored: "",
	scheduler.OpUnreadable: "Session",
}

// fillValue sets a value and everything below it by draw, which is given the kind of each leaf.
func fillValue(v reflect.Value, count func() int, leaf func(reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(v.Elem(), count, leaf)
	case reflect.Struct:
		for i := range v.NumField() {
			fillValue(v.Field(i), count, leaf)
		}
		if spec, ok := v.Addr().Interface().(*scheduler.TaskSpec); ok && !spec.HasKey {
			spec.Key, spec.KeyBody = scheduler.Hash128{}, scheduler.Hash128{}
		}
	case reflect.Array:
		for i := range v.Len() {
			fillValue(v.Index(i), count, leaf)
		}
	case reflect.Slice:
		if n := count(); n > 0 { // an empty one comes back as nil
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fillValue(v.Index(i), count, leaf)
			}
		}
	default:
		leaf(v)
	}
}

func drawBatch(t *rapid.T) *scheduler.Batch {
	ops := make([]scheduler.Op, 0, len(argsOf))
	for op := scheduler.Op(1); int(op) <= len(argsOf); op++ {
		ops = append(ops, op)
	}
	b := &scheduler.Batch{Logic: scheduler.LogicVersion, Now: scheduler.Time(rapid.Int64().Draw(t, "now"))}
	for range rapid.IntRange(1, 4).Draw(t, "commands") {
		c := scheduler.Command{Op: rapid.SampledFrom(ops).Draw(t, "op")}
		if args := argsOf[c.Op]; args != "" {
			fillValue(reflect.ValueOf(&c).Elem().FieldByName(args),
				func() int { return rapid.SampledFrom([]int{0, 1, 2, 5, 40}).Draw(t, "len") },
				func(v reflect.Value) { drawLeaf(t, v) })
		}
		b.Commands = append(b.Commands, c)
	}
	return b
}

func drawLeaf(t *rapid.T, v reflect.Value) {
	bits := v.Type().Size() * 8
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.String:
		v.SetString(rapid.StringN(0, 4, scheduler.NameBytesMax).Draw(t, "string"))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int") >> (64 - bits) >> rapid.IntRange(0, int(bits)-1).Draw(t, "shift"))
	default:
		v.SetUint(rapid.Uint64().Draw(t, "uint") >> (64 - bits) >> rapid.IntRange(0, int(bits)-1).Draw(t, "shift"))
	}
}

// TestEntryRoundTrip: what a replay decodes is what the leader applied, and the bytes are those of the generated code.
func TestEntryRoundTrip(t *testing.T) {
	enc := &encoder{}
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t)
		id := identity{rapid.Uint64().Draw(t, "proposer"), rapid.Uint64Min(1).Draw(t, "proposal")}
		data, err := enc.entry(b, id)
		if err != nil {
			t.Fatal(err)
		}
		want, err := referenceEntry(b, id)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, want) {
			t.Fatalf("encoded as\n%x, the generated code says\n%x", data, want)
		}
		if id.proposer != 0 && entryIdentity(data) != id {
			t.Fatalf("identity %v, want %v", entryIdentity(data), id)
		}
		var got scheduler.Batch
		if err := decodeEntry(data, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&got, b) {
			t.Fatalf("decoded\n%+v, want\n%+v", got, b)
		}
	})
}

// TestEveryFieldIsCoded sets every field of every command, so that one which the codec forgets comes back as zero. A new
// operation or field in the core fails here until the codec knows it.
func TestEveryFieldIsCoded(t *testing.T) {
	for op := scheduler.Op(1); ; op++ {
		args, known := argsOf[op]
		if !known {
			if int(op) <= len(argsOf) {
				t.Fatalf("argsOf lacks operation %d", op)
			}
			break
		}
		c := scheduler.Command{Op: op}
		if args != "" {
			n := uint64(0)
			fillValue(reflect.ValueOf(&c).Elem().FieldByName(args), func() int { return 2 }, func(v reflect.Value) {
				n++
				switch v.Kind() {
				case reflect.Bool:
					v.SetBool(true)
				case reflect.String:
					v.SetString(fmt.Sprint("text", n))
				case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
					v.SetInt(int64(n%100) + 1)
				default:
					v.SetUint(n%100 + 1)
				}
			})
		}
		data, err := (&encoder{}).entry(&scheduler.Batch{Logic: scheduler.LogicVersion, Now: 7, Commands: []scheduler.Command{c}}, identity{1, 2})
		if err != nil {
			t.Fatal(err)
		}
		var got scheduler.Batch
		if err := decodeEntry(data, &got); err != nil {
			t.Fatalf("operation %d: %v", op, err)
		}
		if !reflect.DeepEqual(got.Commands[0], c) {
			t.Errorf("operation %d: decoded\n%+v, want\n%+v", op, got.Commands[0], c)
		}
	}
}

// TestEntryRefused: what this build doesn't understand is an error, never skipped.
func TestEntryRefused(t *testing.T) {
	good := func() *storagev1.Entry {
		return &storagev1.Entry{Logic: scheduler.LogicVersion, Commands: []*storagev1.Command{{
			Op: uint32(scheduler.OpPauseQueue), Args: &storagev1.Command_Queue{Queue: &storagev1.QueueCommand{Name: "q"}},
		}}}
	}
	cases := map[string]func(*storagev1.Entry){
		"a later logic version":  func(en *storagev1.Entry) { en.Logic++ },
		"no logic version":       func(en *storagev1.Entry) { en.Logic = 0 },
		"an unknown operation":   func(en *storagev1.Entry) { en.Commands[0].Op = uint32(len(argsOf)) + 1 },
		"a very large operation": func(en *storagev1.Entry) { en.Commands[0].Op = 1<<8 + uint32(scheduler.OpTick) },
		"no operation":           func(en *storagev1.Entry) { en.Commands[0].Op = 0 },
		"no arguments":           func(en *storagev1.Entry) { en.Commands[0].Args = nil },
		"another's arguments":    func(en *storagev1.Entry) { en.Commands[0].Op = uint32(scheduler.OpForget) },
		"a short hash": func(en *storagev1.Entry) {
			en.Commands[0] = &storagev1.Command{Op: uint32(scheduler.OpSubmit), Args: &storagev1.Command_Submit{Submit: &storagev1.Submit{Producer: []byte("x")}}}
		},
	}
	for op, args := range argsOf {
		if args != "" {
			cases[fmt.Sprint("operation ", op, " without arguments")] = func(en *storagev1.Entry) {
				en.Commands[0] = &storagev1.Command{Op: uint32(op)}
			}
		}
	}
	var b scheduler.Batch
	for name, spoil := range cases {
		en := good()
		spoil(en)
		data, err := proto.Marshal(en)
		if err != nil {
			t.Fatal(err)
		}
		if err := decodeEntry(data, &b); err == nil {
			t.Errorf("%s: decoded as %+v", name, b)
		}
	}
	data, err := proto.Marshal(good())
	if err != nil {
		t.Fatal(err)
	}
	if err := decodeEntry(data, &b); err != nil {
		t.Errorf("a good entry: %v", err)
	}
	if err := decodeEntry(data[:len(data)-1], &b); err == nil {
		t.Error("an entry that was cut short was decoded")
	}
}

// TestNest: a wrong guess of the length costs a copy and nothing else.
func TestNest(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 16383, 16384, 1<<21 - 1, 1 << 21} {
		content := bytes.Repeat([]byte("x"), size)
		for room := 1; room <= 4; room++ {
			b, n := openNest([]byte("before"), 3, room)
			b = closeNest(append(b, content...), n)
			want := protowire.AppendBytes(protowire.AppendTag([]byte("before"), 3, protowire.BytesType), content)
			if !bytes.Equal(b, want) {
				t.Errorf("%d bytes with room %d: wrong", size, room)
			}
		}
	}
}

// TestEstimates: an entry that the batcher cut is at most twice as large as it thought, and so fits the log.
func TestEstimates(t *testing.T) {
	enc := &encoder{}
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t)
		estimate := 0
		for i := range b.Commands {
			estimate += batch.Bytes(&b.Commands[i])
		}
		data, err := enc.entry(b, identity{1 << 63, 1 << 40})
		if err != nil || len(data) > 2*estimate {
			t.Fatalf("%d bytes, estimated %d; %v", len(data), estimate, err)
		}
	})
}

// TestTextIsChecked: text that a replay couldn't decode never reaches the log.
func TestTextIsChecked(t *testing.T) {
	const bad = "\xff"
	for op := scheduler.Op(1); int(op) <= len(argsOf); op++ {
		args := argsOf[op]
		if args == "" {
			continue
		}
		texts := 0
		for spoilt := 0; spoilt <= texts; spoilt++ { // 0: none
			c := scheduler.Command{Op: op}
			texts = 0
			fillValue(reflect.ValueOf(&c).Elem().FieldByName(args), func() int { return 2 }, func(v reflect.Value) {
				if v.Kind() != reflect.String {
					return
				}
				v.SetString("x")
				if texts++; texts == spoilt {
					v.SetString(bad)
				}
			})
			if err := encodable(&c); (err != nil) != (spoilt > 0) {
				t.Errorf("operation %d, text %d of %d: %v", op, spoilt, texts, err)
			}
		}
	}
}
