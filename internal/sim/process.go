package sim

// process is what the coordinator and a worker have in common: a life that may end at any time, and pauses (SIGSTOP) in
// which nothing happens to it, after which all that has come meanwhile happens at once, in order.
type process struct {
	w      *World
	up     bool
	paused bool
	life   uint64   // counts starts: what belongs to an earlier one is dropped
	inbox  []func() // what waits for the end of a pause
}

// start begins a new life.
func (p *process) start() {
	p.life++
	p.up, p.paused = true, false
	p.inbox = nil
}

// die ends the life, and with it everything that was to happen in it.
func (p *process) die() {
	p.up, p.paused = false, false
	p.inbox = nil
}

// after has the process do something in d nanoseconds, if it still lives then; a pause delays it.
func (p *process) after(d int64, do func()) { p.afterIn(p.life, d, do) }

// afterIn is after, for what was begun in a life that may be over by now.
func (p *process) afterIn(life uint64, d int64, do func()) {
	p.w.after(d, func() {
		if p.up && p.life == life {
			p.run(do)
		}
	})
}

// run lets the process do something now, or, in order, when its pause has ended. The dead do nothing.
func (p *process) run(do func()) {
	switch {
	case !p.up:
	case p.paused || len(p.inbox) > 0:
		p.inbox = append(p.inbox, do)
	default:
		do()
	}
}

// pause stops the process; resume lets it go on, first with what has come meanwhile.
func (p *process) pause() { p.paused = true }

func (p *process) resume() {
	if p.up && p.paused {
		p.paused = false
		p.catchUp()
	}
}

// catchUp does what has waited for the end of a pause, one thing after the other, at one point in time. What comes while it
// does waits behind.
func (p *process) catchUp() {
	life := p.life
	p.w.after(0, func() {
		if !p.up || p.life != life || p.paused || len(p.inbox) == 0 {
			return
		}
		do := p.inbox[0]
		do()
		if p.up && p.life == life {
			p.inbox = p.inbox[1:]
			p.catchUp()
		}
	})
}
