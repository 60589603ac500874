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

	unread func() // called when a write fails; optional

	mu    sync.Mutex
	w     io.Writer
	shown bool // the progress stands on the line
}

func newScreen(w io.Writer, unread func()) *screen {
	f, isFile := w.(*os.File)
	return &screen{w: w, unread: unread, width: func() (int, bool) {
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
	s.write(strings.TrimRight(fmt.Sprintf(format, args...), "\n") + "\n")
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
		s.write(line + "\n")
		return
	}
	s.write(clearLine + line[:min(len(line), columns-1)])
	s.shown = true
}

// wipe takes the progress off the terminal.
func (s *screen) wipe() {
	if s.shown {
		s.write(clearLine)
		s.shown = false
	}
}

// end takes the progress off for good.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
}

func (s *screen) write(text string) {
	if _, err := io.WriteString(s.w, text); err != nil && s.unread != nil {
		s.unread()
	}
}
