//go:build e2e

package tests

import (
	"net"
	"sync"
	"testing"
	"time"
)

// direction is a way through a proxy.
type direction int

const (
	up   direction = iota // from the worker to the coordinator
	down                  // back
)

// proxy passes TCP connections on, as badly as a test wants. Bytes are never lost from a connection that lives on: what
// is held back is delivered later, in order, as TCP does.
type proxy struct {
	addr, target string
	loops        sync.WaitGroup

	mu      sync.Mutex
	refuses bool             // guarded by mu, as all below
	delay   time.Duration    // of every byte, each way
	gates   [2]chan struct{} // closed: bytes pass
	pairs   map[*pair]bool   // connections
}

// pair is one connection through the proxy.
type pair struct {
	ends [2]net.Conn
	over chan struct{}
	once sync.Once
}

func (p *pair) end() {
	p.once.Do(func() { close(p.over); p.ends[0].Close(); p.ends[1].Close() })
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &proxy{addr: lis.Addr().String(), target: target, pairs: map[*pair]bool{}, gates: [2]chan struct{}{make(chan struct{}), make(chan struct{})}}
	x.restore()
	x.loops.Go(func() { x.accept(lis) })
	t.Cleanup(func() { lis.Close(); x.cut(); x.loops.Wait() })
	return x
}

func (x *proxy) accept(lis net.Listener) {
	for near, err := lis.Accept(); err == nil; near, err = lis.Accept() {
		far, err := net.Dial("tcp", x.target)
		if err != nil {
			near.Close()
			continue
		}
		p := &pair{ends: [2]net.Conn{near, far}, over: make(chan struct{})}
		x.mu.Lock()
		if x.refuses {
			p.end()
		} else {
			x.pairs[p] = true
			x.loops.Go(func() { x.pump(p, up) })
			x.loops.Go(func() { x.pump(p, down) })
		}
		x.mu.Unlock()
	}
}

// piece is some bytes and when they may go on.
type piece struct {
	bytes []byte
	due   time.Time
}

// pump passes one direction on. A second goroutine reads, so that a delay isn't a limit of the rate.
func (x *proxy) pump(p *pair, way direction) {
	pieces := make(chan piece, 1024)
	x.loops.Go(func() {
		defer close(pieces)
		for buf := make([]byte, 32<<10); ; buf = make([]byte, 32<<10) {
			n, err := p.ends[way].Read(buf)
			if err != nil {
				return
			}
			x.mu.Lock()
			due := time.Now().Add(x.delay)
			x.mu.Unlock()
			pieces <- piece{buf[:n], due}
		}
	})
	for next := range pieces {
		if x.passes(p, way, next.due) {
			_, _ = p.ends[1-way].Write(next.bytes) // if it fails the other direction ends too
		}
	}
	p.end()
	x.mu.Lock()
	delete(x.pairs, p)
	x.mu.Unlock()
}

// passes waits until a piece may go on.
func (x *proxy) passes(p *pair, way direction, due time.Time) bool {
	x.mu.Lock()
	gate := x.gates[way]
	x.mu.Unlock()
	select {
	case <-time.After(time.Until(due)):
	case <-p.over:
		return false
	}
	select {
	case <-gate:
		return true
	case <-p.over:
		return false
	}
}

// cut ends all connections and refuses new ones.
func (x *proxy) cut() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.refuses = true
	for p := range x.pairs {
		p.end()
	}
}

// hold keeps back all bytes of the ways named; the connections stay. One way alone is a half-open connection.
func (x *proxy) hold(ways ...direction) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, way := range ways {
		x.gates[way] = make(chan struct{})
	}
}

// slow delays every byte from now on.
func (x *proxy) slow(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.delay = d
}

// restore lets connections and bytes pass again, those held back first.
func (x *proxy) restore() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.refuses, x.delay = false, 0
	for _, gate := range x.gates {
		select {
		case <-gate:
		default:
			close(gate)
		}
	}
}
