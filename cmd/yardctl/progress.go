package main

import (
	"fmt"
	"time"
)

// How often progress is written: to a terminal over and over in one line, elsewhere now and then.
const (
	progressTerminal = 200 * time.Millisecond
	progressFile     = 5 * time.Second
)

// progress tells on stderr how something long goes on. A short one, not on a terminal, says nothing.
type progress struct {
	a           *app
	verb        string
	of          int           // how many there are in all; 0: not known
	size        uint64        // above 0: what is counted are bytes, so many in all
	quiet       time.Duration // nothing is written before this has passed
	terminal    bool
	start, last time.Time
	n           int
	written     bool
}

func (a *app) newProgress(verb string) *progress {
	now := a.now()
	return &progress{a: a, verb: verb, terminal: a.isTerminal(a.stderr), start: now, last: now}
}

func (p *progress) add(n int) { p.set(p.n + n) }

// set says how many there are so far.
func (p *progress) set(n int) {
	p.n = n
	now := p.a.now()
	every := progressFile
	if p.terminal {
		every = progressTerminal
	}
	if now.Sub(p.start) < p.quiet || now.Sub(p.last) < every {
		return
	}
	p.last = now
	p.write()
}

func (p *progress) write() {
	p.written = true
	passed := p.a.now().Sub(p.start)
	line := p.verb + " "
	if p.size > 0 {
		p.show(fmt.Sprintf("%s%s of %s in %s", line, size(uint64(p.n)), size(p.size), span(passed)))
		return
	}
	if p.of > 0 {
		line += number(p.n) + " of "
		line += plural(max(p.of, p.n), "task", "tasks")
	} else {
		line += plural(p.n, "task", "tasks")
	}
	line += " in " + span(passed)
	if passed > 0 {
		line += fmt.Sprintf(" (%s/s)", number(int(float64(p.n)/passed.Seconds())))
	}
	p.show(line)
}

// show writes a line over the one before, or, not on a terminal, below it.
func (p *progress) show(line string) {
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
