package batch

import (
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"pgregory.net/rapid"
)

var zeros [BytesMax]byte

func submit(tasks, body int) scheduler.Command {
	s := &scheduler.Submit{Tasks: make([]scheduler.TaskSpec, tasks)}
	for i := range s.Tasks {
		s.Tasks[i].Body = zeros[:body]
	}
	return scheduler.Command{Op: scheduler.OpSubmit, Submit: s}
}

// TestCutKeepsOrderAndBounds: whatever arrives, entries hold it in order, once, within the bounds.
func TestCutKeepsOrderAndBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Batcher[int]
		next, want := 0, 0
		for range rapid.IntRange(1, 30).Draw(t, "rounds") {
			for range rapid.IntRange(0, 40).Draw(t, "arrivals") {
				b.Add(submit(rapid.IntRange(1, 300).Draw(t, "tasks"), rapid.IntRange(0, 30_000).Draw(t, "body")), next)
				next++
			}
			if b.Len() == 0 {
				continue
			}
			rows, bytes := 0, 0
			cut := b.Cut(nil)
			for _, it := range cut {
				if it.Tag != want {
					t.Fatalf("got command %d, want %d", it.Tag, want)
				}
				want++
				rows += Rows(&it.Command)
				bytes += Bytes(&it.Command)
			}
			if len(cut) == 0 || len(cut) > 1 && (rows > RowsMax || bytes > BytesMax) {
				t.Fatalf("an entry of %d commands, %d rows, %d bytes", len(cut), rows, bytes)
			}
		}
		for b.Len() > 0 {
			want += len(b.Cut(nil))
		}
		if want != next || b.Rows() != 0 || b.Bytes() != 0 {
			t.Fatalf("cut %d of %d, left %d rows, %d bytes", want, next, b.Rows(), b.Bytes())
		}
	})
}

// TestCutTakesAnOversizedCommandAlone: nothing waits for ever.
func TestCutTakesAnOversizedCommandAlone(t *testing.T) {
	var b Batcher[string]
	b.Add(submit(10, BytesMax/8), "large")
	b.Add(submit(1, 1), "small")
	if got := b.Cut(nil); len(got) != 1 || got[0].Tag != "large" {
		t.Fatalf("got %d commands", len(got))
	}
	if got := b.Cut(nil); len(got) != 1 || got[0].Tag != "small" {
		t.Fatalf("got %d commands", len(got))
	}
}

// TestCosts: what a command changes, and what it takes in an entry, grows with what it names.
func TestCosts(t *testing.T) {
	const n = 100
	long := make([]byte, scheduler.NameBytesMax)
	for name, c := range map[string]struct {
		small, large scheduler.Command
		rows, bytes  int // that large costs more than small
	}{
		"delete": {
			scheduler.Command{Op: scheduler.OpDelete, Delete: &scheduler.Delete{}},
			scheduler.Command{Op: scheduler.OpDelete, Delete: &scheduler.Delete{Items: make([]scheduler.DeleteItem, n)}}, n, 8 * n,
		},
		"configure": {
			scheduler.Command{Op: scheduler.OpConfigureQueue, Queue: &scheduler.QueueCommand{}},
			scheduler.Command{Op: scheduler.OpConfigureQueue, Queue: &scheduler.QueueCommand{Name: string(long)}}, 0, len(long),
		},
	} {
		if got := Rows(&c.large) - Rows(&c.small); got < c.rows {
			t.Errorf("%s: %d more rows, want at least %d", name, got, c.rows)
		}
		if got := Bytes(&c.large) - Bytes(&c.small); got < c.bytes {
			t.Errorf("%s: %d more bytes, want at least %d", name, got, c.bytes)
		}
	}
}
