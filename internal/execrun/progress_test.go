//go:build linux

package execrun

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestLiner: however a stream is cut into reads, its lines are the same.
func TestLiner(t *testing.T) {
	long := strings.Repeat("x", ProgressLineMax)
	const text = "10 a\n\n\r\n20 b\r\n%s\n%sy\n%syzzzz\nlast"
	stream := fmt.Sprintf(text, long, long, long)
	want := []string{"10 a", "20 b", long, long + "y", long + "y", "last"}
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		var got []string
		l := liner{say: func(line []byte) { got = append(got, string(line)) }}
		for rest := stream; rest != ""; {
			n := 1 + rnd.IntN(len(rest))
			l.write([]byte(rest[:n]))
			rest = rest[n:]
			if len(l.kept) > ProgressLineMax+1 {
				t.Fatalf("seed %d: %d bytes are held", seed, len(l.kept))
			}
		}
		l.end()
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %q", seed, got)
		}
	}
}

// TestReadLinesPauses: after each read, so that what is read in a span of time has a bound.
func TestReadLinesPauses(t *testing.T) {
	r, w := io.Pipe()
	writes, pauses, lines := 20, 0, 0
	go func() {
		for i := range writes {
			fmt.Fprintf(w, "%d\n", i)
		}
		w.Close()
	}()
	readLines(r, func([]byte) {
		if lines++; lines != pauses+1 {
			t.Errorf("line %d after %d pauses", lines, pauses)
		}
	}, func() { pauses++ })
	if lines != writes {
		t.Errorf("%d lines of %d", lines, writes)
	}
}

// progressOf runs a script and returns what it reports.
func progressOf(t *testing.T, r *Runner, script string) (lines []string, res Result) {
	t.Helper()
	spec := sh(script)
	spec.Env = append(spec.Env, ProgressVariable+"=99")
	spec.Progress = func(line []byte) { lines = append(lines, string(line)) }
	res = mustRun(t, r, spec)
	return lines, res
}

func TestProgress(t *testing.T) {
	r := newRunner(t, Options{})
	t.Run("by the descriptor that the variable names", func(t *testing.T) {
		got, res := progressOf(t, r, `echo "1 one" >&3; echo out; echo "2 two" >&"$YARD_PROGRESS_FD"; env | grep -c ^YARD_PROGRESS_FD=`)
		if !slices.Equal(got, []string{"1 one", "2 two"}) || string(res.Stdout) != "out\n1\n" {
			t.Errorf("%q, stdout %q", got, res.Stdout)
		}
	})
	t.Run("by what the task starts, which ends with it", func(t *testing.T) {
		f := newFifo(t)
		spec := sh(`sh -c 'exec 4>"$1"; echo 5 >&3; echo up >&4; exec sleep 1000' sh "$1" >/dev/null 2>&1 & echo 7 >&3; read x <"$1".go`, f.path)
		if err := os.WriteFile(f.path+".go", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var got []string
		spec.Progress = func(line []byte) { got = append(got, string(line)) }
		mustRun(t, r, spec)
		if !slices.Contains(got, "7") {
			t.Errorf("%q", got)
		}
		f.already(t)
	})
	t.Run("more of it than the pipe takes", func(t *testing.T) {
		got, _ := progressOf(t, r, `i=0; while [ $i -lt 10000 ]; do echo "$i of many lines"; i=$((i+1)); done >&3`)
		if len(got) != 10000 || got[9999] != "9999 of many lines" {
			t.Errorf("%d lines", len(got))
		}
	})
	t.Run("not asked for", func(t *testing.T) {
		spec := sh(`echo ${YARD_PROGRESS_FD-none}; [ -e /proc/self/fd/3 ] || echo closed`)
		spec.Env = append(spec.Env, ProgressVariable+"=99")
		if res := mustRun(t, r, spec); string(res.Stdout) != "none\nclosed\n" {
			t.Errorf("stdout %q", res.Stdout)
		}
	})
	t.Run("nobody writes", func(t *testing.T) {
		if got, _ := progressOf(t, r, `exec 3>&-; echo`); len(got) != 0 {
			t.Errorf("%q", got)
		}
	})
}
