package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// batchLineBytesMax is the longest line of a batch: a task of 4 MiB, the most a request takes, in base64.
const batchLineBytesMax = 8 << 20

// specSeq is a stream of tasks to submit.
type specSeq = iter.Seq2[*yardmasterv1.TaskSpec, error]

// batch opens a file of JSON lines.
func (a *app) batch(path string) (specs specSeq, done func(), err error) {
	if path == "-" {
		return readBatch(a.stdin, "stdin"), func() {}, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the batch: %w", err)
	}
	return readBatch(file, path), func() { _ = file.Close() }, nil
}

// readBatch reads tasks a line at a time; empty lines are passed over.
func readBatch(from io.Reader, name string) specSeq {
	return func(yield func(*yardmasterv1.TaskSpec, error) bool) {
		lines := bufio.NewScanner(from)
		lines.Buffer(make([]byte, 0, 64<<10), batchLineBytesMax)
		n := 0
		for lines.Scan() {
			n++
			line := bytes.TrimSpace(lines.Bytes())
			if len(line) == 0 {
				continue
			}
			spec := new(yardmasterv1.TaskSpec)
			if err := protojson.Unmarshal(line, spec); err != nil {
				yield(nil, fmt.Errorf("read the batch: %s, line %d: %s", name, n, jsonTrouble(err)))
				return
			}
			if !yield(spec, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, fmt.Errorf("read the batch: %s, line %d: %w", name, n+1, err))
		}
	}
}

// jsonTrouble strips protojson's error of its prefix, whose spacing changes from build to build, and of its own idea of the
// line, which is always the first.
func jsonTrouble(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return strings.Replace(strings.TrimPrefix(text, "proto: "), "(line 1:", "(column ", 1)
}

// How often progress is written: to a terminal over and over in one line, elsewhere now and then.
const (
	progressTerminal = 200 * time.Millisecond
	progressFile     = 5 * time.Second
)

// progress tells on stderr how a long submit goes on. A short one, not on a terminal, says nothing.
type progress struct {
	a           *app
	verb        string
	terminal    bool
	start, last time.Time
	n           int
	written     bool
}

func (a *app) newProgress(verb string) *progress {
	now := a.now()
	return &progress{a: a, verb: verb, terminal: isTerminal(a.stderr), start: now, last: now}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p *progress) add(n int) {
	p.n += n
	now := p.a.now()
	every := progressFile
	if p.terminal {
		every = progressTerminal
	}
	if now.Sub(p.last) < every {
		return
	}
	p.last = now
	p.write()
}

func (p *progress) write() {
	p.written = true
	passed := p.a.now().Sub(p.start)
	line := fmt.Sprintf("%s %s in %s", p.verb, plural(p.n, "task", "tasks"), span(passed))
	if passed > 0 {
		line += fmt.Sprintf(" (%s/s)", number(int(float64(p.n)/passed.Seconds())))
	}
	if p.terminal {
		fmt.Fprintf(p.a.stderr, "\r%s\x1b[K", line)
	} else {
		fmt.Fprintln(p.a.stderr, line)
	}
}

// end writes the last figures, if any were written before.
func (p *progress) end() {
	if !p.written {
		return
	}
	p.write()
	if p.terminal {
		fmt.Fprintln(p.a.stderr)
	}
}
