package workercore

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func names(ws []*Waiter) []Token {
	var out []Token
	for _, w := range ws {
		out = append(out, w.Token)
	}
	return out
}

func admitAll(s *Semaphore) []*Waiter {
	var out []*Waiter
	for w := s.Next(); w != nil; w = s.Next() {
		out = append(out, w)
	}
	return out
}

func TestHeavyHeadBlocksLighter(t *testing.T) {
	s := NewSemaphore(4)
	w := []*Waiter{{Token: 1, Weight: 3}, {Token: 2, Weight: 2}, {Token: 3, Weight: 1}}
	for _, x := range w {
		if !s.Enqueue(x) {
			t.Fatalf("token %d was refused", x.Token)
		}
	}
	if got := names(admitAll(&s)); !slices.Equal(got, []Token{1}) {
		t.Fatalf("admitted %v; 2 doesn't fit, and 3 is behind it", got)
	}
	s.Withdraw(w[1])
	if got := names(admitAll(&s)); !slices.Equal(got, []Token{3}) {
		t.Fatalf("admitted %v once the heavy one had left", got)
	}
	if s.Enqueue(&Waiter{Token: 4, Weight: 5}) {
		t.Fatal("a waiter heavier than the semaphore would block it for good")
	}
}

func TestShrinkWaitsForPermits(t *testing.T) {
	s := NewSemaphore(3)
	w := []*Waiter{{Token: 1, Weight: 2}, {Token: 2, Weight: 1}, {Token: 3, Weight: 1}, {Token: 4, Weight: 3}}
	for _, x := range w {
		s.Enqueue(x)
	}
	admitAll(&s)
	if got := names(s.Resize(1, nil)); !slices.Equal(got, []Token{4}) {
		t.Fatalf("misfits %v, want the one that weighs 3", got)
	}
	s.Release(w[1])
	if got := admitAll(&s); got != nil || s.Used() != 2 {
		t.Fatalf("admitted %v with %d of 1 out", names(got), s.Used())
	}
	s.Release(w[0])
	if got := names(admitAll(&s)); !slices.Equal(got, []Token{3}) {
		t.Fatalf("admitted %v", got)
	}
}

// twin is the dumbest semaphore there is: slices, searched from the front.
type twin struct {
	capacity      int
	line, holders []*Waiter
}

func (d *twin) used() (sum int) {
	for _, w := range d.holders {
		sum += w.Weight
	}
	return sum
}

func (d *twin) next() (Token, bool) {
	if len(d.line) == 0 || d.used()+d.line[0].Weight > d.capacity {
		return 0, false
	}
	w := d.line[0]
	d.line = slices.Delete(d.line, 0, 1)
	d.holders = append(d.holders, w)
	return w.Token, true
}

func without(list []*Waiter, w *Waiter) []*Waiter {
	return slices.DeleteFunc(list, func(x *Waiter) bool { return x == w })
}

func TestSemaphoreAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 8).Draw(t, "capacity")
		s, d := NewSemaphore(size), &twin{capacity: size}
		token := Token(0)
		t.Repeat(map[string]func(*rapid.T){
			"enqueue": func(t *rapid.T) {
				token++
				w := &Waiter{Token: token, Weight: rapid.IntRange(1, 9).Draw(t, "weight")}
				if ok := s.Enqueue(w); ok != (w.Weight <= d.capacity) {
					t.Fatalf("weight %d of %d: enqueued %t", w.Weight, d.capacity, ok)
				} else if ok {
					d.line = append(d.line, w)
				}
			},
			"next": func(t *rapid.T) {
				w := s.Next()
				want, ok := d.next()
				if (w != nil) != ok || w != nil && w.Token != want {
					t.Fatalf("admitted %v, want %d, %t", w, want, ok)
				}
			},
			"withdraw": func(t *rapid.T) {
				if len(d.line) == 0 {
					t.Skip()
				}
				w := rapid.SampledFrom(d.line).Draw(t, "waiter")
				s.Withdraw(w)
				d.line = without(d.line, w)
			},
			"release": func(t *rapid.T) {
				if len(d.holders) == 0 {
					t.Skip()
				}
				w := rapid.SampledFrom(d.holders).Draw(t, "holder")
				s.Release(w)
				d.holders = without(d.holders, w)
			},
			"resize": func(t *rapid.T) {
				d.capacity = rapid.IntRange(1, 8).Draw(t, "capacity")
				var misfits []*Waiter
				for _, w := range slices.Clone(d.line) {
					if w.Weight > d.capacity {
						misfits, d.line = append(misfits, w), without(d.line, w)
					}
				}
				if got := s.Resize(d.capacity, nil); !slices.Equal(got, misfits) {
					t.Fatalf("misfits %v, want %v", names(got), names(misfits))
				}
			},
			"": func(t *rapid.T) {
				if s.Used() != d.used() || s.Waiting() != len(d.line) || s.Capacity() != d.capacity {
					t.Fatalf("used %d, %d wait of %d; want %d, %d of %d", s.Used(), s.Waiting(), s.Capacity(), d.used(), len(d.line), d.capacity)
				}
			},
		})
	})
}
