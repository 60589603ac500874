package engine

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

// fuzzBytesMax bounds what a fuzzer's input may cost in time and memory.
const fuzzBytesMax = 64 << 10

// randomBatch draws a batch of a seed: one command of each operation, of any numbers.
func randomBatch(seed uint64) *scheduler.Batch {
	r := rand.New(rand.NewPCG(seed, 0))
	b := &scheduler.Batch{Logic: scheduler.LogicVersion, Now: scheduler.Time(r.Int64())}
	for op := scheduler.Op(1); int(op) <= len(argsOf); op++ {
		c := scheduler.Command{Op: op}
		if args := argsOf[op]; args != "" {
			fillValue(reflect.ValueOf(&c).Elem().FieldByName(args), func() int { return r.IntN(3) }, func(v reflect.Value) {
				switch bits := v.Type().Size() * 8; v.Kind() {
				case reflect.Bool:
					v.SetBool(r.IntN(2) == 0)
				case reflect.String:
					v.SetString([]string{"", "a", "default", "mail.eu-1"}[r.IntN(4)])
				case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
					v.SetInt(r.Int64() >> (64 - bits) >> r.IntN(int(bits)))
				default:
					v.SetUint(r.Uint64() >> (64 - bits) >> r.IntN(int(bits)))
				}
			})
		}
		b.Commands = append(b.Commands, c)
	}
	return b
}

// FuzzDecodeEntry: whatever bytes stand in the log, they are decoded as the generated code does; and what was decoded is,
// written and read again, the same, under the identity that it was written with.
func FuzzDecodeEntry(f *testing.F) {
	for seed := range uint64(8) {
		b := randomBatch(seed)
		for i := range b.Commands { // alone, so that there is little to get past
			data, err := (&encoder{}).entry(&scheduler.Batch{Logic: b.Logic, Now: b.Now, Commands: b.Commands[i : i+1]}, identity{seed, 1})
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	data, err := (&encoder{}).entry(&scheduler.Batch{Logic: 1, Now: 2, Commands: []scheduler.Command{
		{Op: scheduler.OpSubmit, Submit: benchSubmit(2, 3)}, {Op: scheduler.OpTick},
		{Op: scheduler.OpOutcomes, Outcomes: &scheduler.Outcomes{List: []scheduler.Outcome{{Token: 1, Task: 2, Kind: 3, Detail: []byte{8, 1}}}}},
	}}, identity{1, 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	other, err := proto.Marshal(&storagev1.Entry{Logic: 2, Commands: []*storagev1.Command{{Op: 19, Args: &storagev1.Command_Forget{Forget: &storagev1.Forget{}}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(other)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > fuzzBytesMax {
			return
		}
		d := &decoder{}
		agree(t, d, data)
		entryIdentity(data) // reads any bytes
		var first, second scheduler.Batch
		if d.entry(data, &first) != nil {
			return
		}
		id := identity{uint64(len(data)), 7}
		again, err := (&encoder{}).entry(&first, id)
		if err != nil {
			t.Fatalf("%x was decoded, and can't be written: %v", data, err)
		}
		if got := entryIdentity(again); got != id {
			t.Fatalf("identity %+v, written as %+v", got, id)
		}
		if err := d.entry(again, &second); err != nil {
			t.Fatalf("written again it can't be read: %v", err)
		}
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("%x decoded as\n%+v, written and read again as\n%+v", data, first, second)
		}
	})
}

// FuzzFindRaw: of what the store may hold of a finished task, a list that looks into the bytes finds what one finds that
// decodes them.
func FuzzFindRaw(f *testing.F) {
	for _, row := range []*storagev1.Finished{
		{}, {State: uint32(scheduler.Dead), Submitted: 7, Spec: &storagev1.TaskSpec{Kind: "a", Queue: "default"}},
		{State: uint32(scheduler.Succeeded), Submitted: 1 << 40, Spec: &storagev1.TaskSpec{Kind: "k", Queue: "mail"},
			Labels: []*storagev1.Label{{Key: "a", Value: "b"}, {Key: "c"}}, Detail: &storagev1.Detail{Result: bytes.Repeat([]byte{'r'}, 100)}},
	} {
		data, err := proto.Marshal(row)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "a", "default", "a", "b", uint8(row.State), row.Submitted)
	}
	f.Fuzz(func(t *testing.T, data []byte, kind, queue, key, value string, state uint8, submitted int64) {
		row := &storagev1.Finished{}
		if len(data) > fuzzBytesMax || proto.Unmarshal(data, row) != nil {
			return
		}
		canonical, err := proto.MarshalOptions{Deterministic: true}.Marshal(row) // the store holds what the engine wrote
		if err != nil {
			t.Fatal(err)
		}
		x := ListFilter{Kind: kind, Queue: queue, SubmittedFrom: scheduler.Time(submitted)}
		if key != "" {
			x.Labels = map[string]string{key: value}
		}
		if state != 0 {
			x.States = []scheduler.TaskState{scheduler.TaskState(state)}
		}
		match := newFilter(x)
		want := match.passesDecoded(row)
		if got := match.passesFinished(canonical, false); got != want {
			t.Fatalf("%v passes %+v: %t, decoded %t", row, x, got, want)
		}
	})
}
