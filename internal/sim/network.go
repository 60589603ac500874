package sim

import "slices"

// Spans and bounds of the transport.
const openTimeout = 5 * second

// network carries workers' streams. Messages of a stream arrive in order; they are lost only with their connection.
type network struct {
	w     *World
	conns []*conn
}

// pipe is one direction of a connection. Invariant: what was sent first arrives first.
type pipe struct {
	last     int64    // when the latest message arrives
	buffered int      // bytes sent and not yet read by the other side
	stalled  bool     // nothing arrives: the network is cut without a word, or the other side's machine is gone
	held     []func() // what has come to a stalled pipe's end
	lost     bool     // nothing arrives any more
	lag      int64    // how much longer than else a message takes at most, while the network is about to break
	room     func()   // called when something was read; nil: nobody waits
}

// conn is a connection with one stream of a worker.
type conn struct {
	n          *network
	worker     *worker
	life       uint64 // of the worker's process
	st         *stream
	up, down   pipe
	workerGone bool // the worker's side has ended
	serverGone bool // the coordinator's side has ended
	stalls     uint64
}

// dial connects a worker to the coordinator. opened runs in the worker, or failed.
func (n *network) dial(k *worker, opened func(*conn), failed func()) {
	w := n.w
	settled, life := false, k.life
	fail := func() {
		if !settled {
			settled = true
			failed()
		}
	}
	k.after(openTimeout, fail)
	w.after(w.span(w.plan.Latency), func() {
		c := w.coord
		switch {
		case k.blocked > w.now: // the network is cut: the attempt runs into its timeout
		case !c.up:
			k.afterIn(life, w.span(w.plan.Latency), fail)
		default:
			c.run(func() {
				if settled || !k.up || k.life != life {
					return
				}
				x := &conn{n: n, worker: k, life: k.life}
				n.conns = append(n.conns, x)
				x.st = c.reg.addStream(x)
				k.after(w.span(w.plan.Latency), func() {
					if settled {
						x.closeByWorker()
						return
					}
					settled = true
					opened(x)
				})
			})
		}
	})
}

// send has deliver run at the pipe's other end. to is the process there.
func (x *conn) send(p *pipe, to *process, size int, deliver func()) {
	w := x.n.w
	if p.lost {
		return
	}
	p.buffered += size
	d := w.span(w.plan.Latency)
	if w.fault(w.plan.DelaySpike) {
		w.injected(FaultDelay)
		d += w.between(0, 2*second)
	}
	d += w.between(0, p.lag)
	p.last = max(p.last, w.now+d)
	life := to.life
	arrive := func() {
		if p.lost || to.life != life {
			return
		}
		to.run(func() {
			if p.buffered -= size; p.room != nil {
				p.room()
			}
			deliver()
		})
	}
	w.after(p.last-w.now, func() {
		if p.stalled {
			p.held = append(p.held, arrive)
			return
		}
		arrive()
	})
}

// full reports whether a sender has to wait.
func (x *conn) full(p *pipe) bool { return p.buffered >= x.n.w.plan.Window }

// closeByWorker ends the connection from the worker's side: what it sent before may still arrive, or not.
func (x *conn) closeByWorker() {
	if x.workerGone {
		return
	}
	x.workerGone = true
	x.down.lost = true
	w := x.n.w
	if x.serverGone {
		x.forget()
		return
	}
	if w.chance(500_000) { // a reset, which overtakes what is under way
		x.up.lost = true
		life := w.coord.life
		w.after(w.span(w.plan.Latency), func() {
			if w.coord.life == life {
				w.coord.run(x.st.broke)
			}
		})
		return
	}
	x.send(&x.up, &w.coord.process, 0, x.st.broke)
	x.forget()
}

// closeByServer ends the stream from the coordinator's side, behind all that it has sent.
func (x *conn) closeByServer() {
	if x.serverGone {
		return
	}
	x.serverGone = true // what arrives until the handler returns is still read
	if !x.workerGone {
		x.send(&x.down, &x.worker.process, 0, func() { x.worker.streamLost(x) })
	}
	x.forget()
}

// cut breaks the connection between the two: each side learns of it a little later, and what is under way is lost.
func (x *conn) cut() {
	w := x.n.w
	x.up.lost, x.down.lost = true, true
	x.up.held, x.down.held = nil, nil
	if life := w.coord.life; !x.serverGone {
		w.after(w.span(w.plan.Latency), func() {
			if w.coord.life == life {
				w.coord.run(x.st.broke)
			}
		})
	}
	if !x.workerGone {
		w.after(w.span(w.plan.Latency), func() {
			if x.worker.life == x.life {
				x.worker.run(func() { x.worker.streamLost(x) })
			}
		})
	}
	x.workerGone, x.serverGone = true, true
	x.forget()
}

// stall lets nothing arrive in the directions given, for a while. Keepalives notice if it takes long, and the connection
// breaks; if not, all arrives in the end.
func (x *conn) stall(up, down bool, d int64) {
	w := x.n.w
	x.stalls++
	stall := x.stalls
	x.up.stalled, x.down.stalled = x.up.stalled || up, x.down.stalled || down
	w.after(min(d, w.between(10*second, 15*second)), func() {
		if x.stalls != stall {
			return
		}
		if d >= 10*second {
			x.cut()
			return
		}
		x.heal()
	})
}

// fade lets the network get slow before it breaks, as it does when it is overloaded: answers come late, then nothing does.
func (x *conn) fade(d int64) {
	w := x.n.w
	x.down.lag = w.between(w.plan.TTL/20, w.plan.TTL/4)
	if w.chance(300_000) {
		x.up.lag = x.down.lag
	}
	k, life := x.worker, x.worker.life
	w.after(w.between(w.plan.TTL/4, w.plan.TTL), func() {
		if w.calm || k.life != life || k.conn != x {
			return
		}
		k.blocked = w.now + d
		x.stall(true, true, d)
	})
}

// heal ends a stall: what was held up arrives.
func (x *conn) heal() {
	x.stalls++
	for _, p := range [...]*pipe{&x.up, &x.down} {
		p.stalled, p.lag = false, 0
		p.last = max(p.last, x.n.w.now)
		held := p.held
		p.held = nil
		for _, arrive := range held {
			arrive()
		}
	}
}

// forget drops a connection that neither side has any more.
func (x *conn) forget() {
	if x.workerGone && x.serverGone {
		x.n.conns = slices.DeleteFunc(x.n.conns, func(o *conn) bool { return o == x })
	}
}

// serverGone breaks all connections: the coordinator's process has ended. A worker behind a stalled connection notices
// later.
func (n *network) serverGone() {
	for _, x := range slices.Clone(n.conns) {
		x.serverGone = true
		x.up.lost = true
		x.st.over, x.st.gone = true, true
		if x.workerGone {
			x.forget()
			continue
		}
		x.send(&x.down, &x.worker.process, 0, func() { x.worker.streamLost(x) })
		if x.down.stalled {
			continue
		}
		if n.w.chance(500_000) { // a reset, which overtakes what is under way
			x.cut()
		}
	}
}

// workerDied breaks the connection of a worker's process that has ended; silently, if its machine is gone with it.
func (n *network) workerDied(k *worker, silent bool) {
	for _, x := range slices.Clone(n.conns) {
		if x.worker != k || x.workerGone {
			continue
		}
		if silent {
			x.workerGone = true
			x.down.lost = true
			x.stall(true, true, minute)
			continue
		}
		x.closeByWorker()
	}
}
