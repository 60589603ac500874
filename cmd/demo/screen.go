package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// How often progress is shown.
const (
	liveEvery  = 100 * time.Millisecond // on a terminal, where it is rewritten in place
	linesEvery = time.Second            // elsewhere
	clearLine  = "\r\x1b[K"
)

// widthAssumed is that of a terminal that doesn't tell it.
const widthAssumed = 80

// screen writes what the demo says: lines that stay, and on a terminal one line of progress that is rewritten. Its methods
// may be called from any goroutine.
type screen struct {
	width func() (columns int, terminal bool)

	mu    sync.Mutex
	w     io.Writer
	shown bool // the progress stands on the line
}

func newScreen(w io.Writer) *screen {
	f, isFile := w.(*os.File)
	return &screen{w: w, width: func() (int, bool) {
		if !isFile || os.Getenv("TERM") == "dumb" {
			return 0, false
		}
		size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return 0, false
		}
		return cmp.Or(int(size.Col), widthAssumed), true
	}}
}

// say writes lines that stay.
func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	fmt.Fprintln(s.w, strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
}

// every is how often progress should be offered.
func (s *screen) every() time.Duration {
	if _, terminal := s.width(); terminal {
		return liveEvery
	}
	return linesEvery
}

// progress shows a line of progress. On a terminal it is cut at the width: a line that wraps can't be rewritten.
func (s *screen) progress(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line = "  " + line
	columns, terminal := s.width()
	if !terminal {
		fmt.Fprintln(s.w, line)
		return
	}
	fmt.Fprint(s.w, clearLine+line[:min(len(line), columns-1)])
	s.shown = true
}

// wipe takes the progress off the terminal.
func (s *screen) wipe() {
	if s.shown {
		fmt.Fprint(s.w, clearLine)
		s.shown = false
	}
}

// end takes the progress off for good.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
}
