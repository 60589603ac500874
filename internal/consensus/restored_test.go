package consensus

import "testing"

// TestTermMin: the first term of a new log comes after that of the state that was restored, also if the first start was
// killed between bootstrap and term; a log that goes on is left alone.
func TestTermMin(t *testing.T) {
	leads := func(o Options) uint64 {
		t.Helper()
		l, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}()
		for term := range l.Terms() {
			if term.Leader {
				return term.Term
			}
		}
		t.Fatal("it never leads")
		return 0
	}
	for _, bootstrapped := range []bool{false, true} {
		dir, disk := t.TempDir(), &memDisk{}
		o, _ := testOptions(t, dir, disk)
		if bootstrapped {
			leads(o)
		}
		o.TermMin = 41
		first := leads(o)
		if first <= 41 {
			t.Errorf("bootstrapped before %v: the first term is %d", bootstrapped, first)
		}
		if next := leads(o); next <= first || next > first+3 {
			t.Errorf("bootstrapped before %v: terms %d, then %d", bootstrapped, first, next)
		}
	}
}
