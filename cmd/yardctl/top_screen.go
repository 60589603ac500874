package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"
)

// What a terminal is told before the first frame and after the last: the other screen (scrollback stays as it was), no cursor.
const (
	screenEnter = "\x1b[?1049h\x1b[?25l"
	screenLeave = "\x1b[?25h\x1b[?1049l"
)

// topScreen is a live screen. One goroutine, run's, owns the view; polls and keys reach it over channels. There is never more
// than one poll under way: a coordinator that answers slowly is asked less often.
type topScreen struct {
	*top
	view    *topView
	in      io.Reader
	out     io.Writer
	size    func() (width, height int, err error)
	resized <-chan os.Signal
	decoder keyDecoder
	height  int // of the last frame
}

// polled is what a poll came back with.
type polled struct {
	shot *topShot
	err  error
}

// run shows frames until the user quits or ctx ends.
func (s *topScreen) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan polled, 1)
	polling := false
	defer func() {
		cancel()
		if polling {
			<-answers
		}
	}()
	if _, err := io.WriteString(s.out, screenEnter); err != nil {
		return err
	}
	defer func() {
		_, left := io.WriteString(s.out, screenLeave)
		err = errors.Join(err, left)
	}()
	keys := readKeys(s.in, ctx.Done())
	next := time.NewTicker(s.interval)
	defer next.Stop()
	for {
		if err := s.draw(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case chunk, open := <-keys:
			if !open || s.press(chunk) {
				return nil
			}
		case <-s.resized:
		case <-next.C:
			if !polling {
				polling = true
				go func() {
					shot, err := s.poll(ctx)
					answers <- polled{shot, err}
				}()
			}
		case got := <-answers:
			polling = false
			s.take(got)
		}
	}
}

// take shows what a poll has learnt. One that failed leaves the older figures, with a word that they are old.
func (s *topScreen) take(got polled) {
	if got.err != nil {
		s.view.trouble = firstLine(s.a.explain(got.err))
		return
	}
	s.view.rates = ratesOf(s.view.shot, got.shot)
	s.view.shot, s.view.trouble = got.shot, ""
}

// draw draws a frame over the last one, in one write and line by line, so that nothing flickers.
func (s *topScreen) draw() error {
	width, height, err := s.size()
	if err != nil {
		return err
	}
	s.height = height
	frame := s.view.frame(width, height)
	_, err = io.WriteString(s.out, "\x1b[H"+strings.ReplaceAll(frame, "\n", "\x1b[K\r\n")+"\x1b[K\x1b[J")
	return err
}

// press does what keys ask for, and reports whether that is to quit.
func (s *topScreen) press(chunk []byte) (quit bool) {
	v := s.view
	for _, key := range s.decoder.decode(chunk) {
		at, page := v.first(v.focus, s.height), v.rows(s.height)[v.focus]
		switch key {
		case keyQuit:
			return true
		case keySort:
			v.order = (v.order + 1) % orders
			v.scroll[paneQueues] = 0
		case keyTab:
			v.focus = (v.focus + 1) % panes
		case keyUp:
			v.scroll[v.focus] = max(0, at-1)
		case keyDown:
			v.scroll[v.focus] = at + 1
		case keyPageUp:
			v.scroll[v.focus] = max(0, at-page)
		case keyPageDown:
			v.scroll[v.focus] = at + page
		case keyHome:
			v.scroll[v.focus] = 0
		case keyEnd:
			v.scroll[v.focus] = at + len(v.shot.queues) + len(v.shot.workers)
		}
		v.scroll[v.focus] = v.first(v.focus, s.height)
	}
	return false
}

// readKeys hands over what is typed until the input ends or done is closed. A read of a terminal can't be cut off: the reader
// then ends with the next key, or the process.
func readKeys(in io.Reader, done <-chan struct{}) <-chan []byte {
	keys := make(chan []byte)
	go func() {
		defer close(keys)
		for {
			chunk := make([]byte, 64)
			n, err := in.Read(chunk)
			if n > 0 {
				select {
				case keys <- chunk[:n]:
				case <-done:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return keys
}

func firstLine(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return first
}
