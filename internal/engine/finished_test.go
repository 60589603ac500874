package engine

import (
	"bytes"
	"reflect"
	"testing"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func drawDetail(t *rapid.T) *storagev1.Detail {
	return &storagev1.Detail{
		Result: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "result"), Message: rapid.StringN(0, 3, 20).Draw(t, "message"),
		ExitCode: rapid.Int32().Draw(t, "exit"), Text: rapid.StringN(0, 3, 20).Draw(t, "text"),
	}
}

// TestFinishedAgrees: an end is written as the generated code writes it, and read by it also if labels and last failure
// come late, after the other fields.
func TestFinishedAgrees(t *testing.T) {
	e := &Engine{}
	rapid.Check(t, func(t *rapid.T) {
		var fin scheduler.Finished
		fillValue(reflect.ValueOf(&fin).Elem(), func() int { return rapid.IntRange(0, 3).Draw(t, "len") },
			func(v reflect.Value) { drawLeaf(t, v) })
		body := &storagev1.Body{Payload: []byte("payload")}
		for range rapid.IntRange(0, 3).Draw(t, "labels") {
			body.Labels = append(body.Labels, &storagev1.Label{Key: rapid.StringN(0, 3, 9).Draw(t, "key"), Value: "v"})
		}
		outcome, last := drawDetail(t), &storagev1.Attempt{}
		var said []byte
		if proto.Size(outcome) == 0 {
			outcome = nil
		} else {
			said = detail(outcome)
		}
		var failed scheduler.Failed
		fillValue(reflect.ValueOf(&failed).Elem(), nil, func(v reflect.Value) { drawLeaf(t, v) })
		ended := scheduler.Time(rapid.Int64().Draw(t, "ended"))
		*last = storagev1.Attempt{
			Cause: uint32(failed.Cause), Attempt: failed.Attempt, Detail: drawDetail(t), Gen: failed.Gen, Token: uint64(failed.Token),
			Session: uint64(failed.Session), Worker: failed.Worker, Granted: int64(failed.Granted), Ended: int64(ended),
		}
		fail := appendAttempt([]byte{}, &failed, ended, detail(last.Detail))
		if proto.Size(last.Detail) == 0 {
			last.Detail = nil
		}
		tried := rapid.Bool().Draw(t, "tried")
		encoded, err := proto.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		want := referenceFinished(&fin, body, outcome, last, tried)
		wanted, err := proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.appendFinished(nil, &fin, encoded, said, fail, tried); !bytes.Equal(got, wanted) {
			t.Fatalf("encoded as\n%x, the generated code says\n%x", got, wanted)
		}
		data := e.appendFinished(nil, &fin, nil, said, nil, tried)
		data = appendMessage(appendLabels(data, encoded), finishedLast, fail)
		got, err := decodeFinished(1, data)
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(got, want) {
			t.Fatalf("with late fields decoded\n%v, want\n%v", got, want)
		}
	})
}

func passes(f ListFilter, data []byte) bool {
	x := newFilter(f)
	return x.passesFinished(data, false)
}

// TestFilterLooksInside: the filter that reads encoded ends agrees with one that decodes them.
func TestFilterLooksInside(t *testing.T) {
	e := &Engine{}
	names := []string{"", "a", "b"}
	states := []scheduler.TaskState{scheduler.Succeeded, scheduler.Dead, scheduler.Cancelled}
	rapid.Check(t, func(t *rapid.T) {
		fin := scheduler.Finished{
			State: rapid.SampledFrom(states).Draw(t, "state"), Kind: rapid.SampledFrom(names).Draw(t, "kind"),
			Queue: rapid.SampledFrom(names).Draw(t, "queue"), Gen: 3, Cause: 2,
		}
		f := ListFilter{Max: 1, Kind: rapid.SampledFrom(names).Draw(t, "kinds"), Queue: rapid.SampledFrom(names).Draw(t, "queues")}
		f.States = rapid.SliceOf(rapid.SampledFrom(states)).Draw(t, "states")
		want := (f.Kind == "" || f.Kind == fin.Kind) && (f.Queue == "" || f.Queue == fin.Queue)
		if len(f.States) > 0 {
			in := false
			for _, s := range f.States {
				in = in || s == fin.State
			}
			want = want && in
		}
		if got := passes(f, e.appendFinished(nil, &fin, nil, []byte{8}, nil, false)); got != want {
			t.Fatalf("%+v passes %+v: %v, want %v", fin, f, got, want)
		}
	})
}

// TestBodyLine compares the line with a map, with gaps between the ids.
func TestBodyLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l bodyLine
		twin := map[scheduler.TaskID][]byte{}
		last := scheduler.TaskID(rapid.IntRange(0, 5).Draw(t, "first"))
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "add") {
				last += scheduler.TaskID(rapid.SampledFrom([]int{1, 1, 1, 1, 3, 1 << 33}).Draw(t, "gap"))
				var data []byte
				if n := rapid.IntRange(-1, 2).Draw(t, "size"); n >= 0 {
					data = make([]byte, n)
				}
				l.add(last, data)
				twin[last] = append([]byte{}, data...)
				continue
			}
			id := scheduler.TaskID(rapid.Uint64Range(0, uint64(last)+2).Draw(t, "drop"))
			size, ok := l.drop(id)
			if want, here := twin[id]; ok != here || size != len(want) {
				t.Fatalf("drop %d: %d, %v; want %d, %v", id, size, ok, len(want), here)
			}
			delete(twin, id)
		}
		for id, want := range twin {
			if got, ok := l.get(id); !ok || got == nil || !bytes.Equal(got, want) {
				t.Fatalf("body of %d: %v, %v", id, got, ok)
			}
		}
		if kept := l.kept(); len(kept) != len(twin) {
			t.Fatalf("%d kept, want %d", len(kept), len(twin))
		}
		for _, b := range l.kept() {
			if _, ok := twin[b.ID]; !ok {
				t.Fatalf("%d was kept", b.ID)
			}
		}
	})
}
