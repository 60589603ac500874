package store

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// faults turns what a damaged page causes that is met after the start, a fault
// of the mapped file or a panic of bbolt, into an error. Other panics go on.
func faults(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if _, fault := r.(interface{ Addr() uintptr }); !fault && !panickedInBolt() {
			panic(r)
		}
		err = fmt.Errorf("%w: unreadable page: %v; run `coordinator check` to see all damage, then restore a backup", ErrDamaged, r)
	}()
	return fn()
}

// panickedInBolt reports, in a deferred call, whether it was bbolt's code that
// panicked: the first above the runtime's that handles panics.
func panickedInBolt() bool {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	panicking := false
	for {
		frame, more := frames.Next()
		switch ours := !strings.HasPrefix(frame.Function, "runtime."); {
		case !ours:
			panicking = true
		case panicking:
			return strings.HasPrefix(frame.Function, "go.etcd.io/bbolt")
		}
		if !more {
			return false
		}
	}
}
