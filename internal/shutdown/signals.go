package shutdown

import (
	"os"
	"os/signal"
	"syscall"
)

// NotifySignals returns a channel of the SIGINT and SIGTERM that the process
// gets from now on, for OnSignals, and a function that gives the signals back
// their default effect, which is to kill the process.
func NotifySignals() (signals <-chan os.Signal, release func()) {
	// Two are enough, the third changes nothing; a full channel drops it.
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM)
	return ch, func() { signal.Stop(ch) }
}

// OnSignals lets the first signal begin the orderly stop and the second force
// it; a third changes nothing. The first never forces, even if the stop was
// begun by something else: a supervisor's SIGTERM that comes during an
// operator's shutdown must not cut it. It returns at once; its goroutine ends
// with the stop, or when signals is closed.
func (s *Sequence) OnSignals(signals <-chan os.Signal) {
	go s.heedSignals(signals)
}

func (s *Sequence) heedSignals(signals <-chan os.Signal) {
	heed := []func(os.Signal){
		func(sig os.Signal) { s.Begin("signal: " + sig.String()) },
		func(sig os.Signal) { s.Force("second signal: " + sig.String()) },
	}
	for _, act := range heed {
		select {
		case sig, open := <-signals:
			if !open {
				return
			}
			s.log.Info("signal received", "signal", sig.String())
			act(sig)
		case <-s.done:
			return
		}
	}
}
