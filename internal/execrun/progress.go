//go:build linux

package execrun

import (
	"bytes"
	"io"
)

// liner cuts a stream into lines. It holds one line at most, of ProgressLineMax
// bytes and one more by which it is seen to be too long.
type liner struct {
	say  func(line []byte)
	kept []byte
}

func (l *liner) write(p []byte) {
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		l.kept = append(l.kept, line[:min(len(line), ProgressLineMax+1-len(l.kept))]...)
		if whole {
			l.end()
		}
		p = rest
	}
}

// end is that of a line, or of the stream: its last line needs no newline.
func (l *liner) end() {
	if line := bytes.TrimSuffix(l.kept, []byte{'\r'}); len(line) > 0 {
		l.say(line)
	}
	l.kept = l.kept[:0]
}

// readLines reads f to its end. It pauses after each read, so that a task which
// reports without pause costs the worker at most copySize bytes of it each
// pause; that task then waits in its write.
func readLines(f io.Reader, say func(line []byte), pause func()) {
	l := liner{say: say}
	readAll(f, func(p []byte) {
		l.write(p)
		pause()
	})
	l.end()
}
