package main

import (
	"bytes"
	"math"
	"testing"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// TestWatcherGoesOnBeforeTheFirstEvent: a position of 0 would ask for a new beginning.
func TestWatcherGoesOnBeforeTheFirstEvent(t *testing.T) {
	var stderr bytes.Buffer
	w := &watcher{a: &app{stderr: &stderr}, req: &yardmasterv1.TaskServiceWatchRequest{}}
	for _, c := range []struct{ told, asks uint64 }{{0, math.MaxUint64}, {7, 7}} {
		w.resumed(c.told)
		if got := w.req.GetAfterPosition(); got != c.asks {
			t.Errorf("after position %d it asks for events after %d, want %d", c.told, got, c.asks)
		}
	}
	w.resumed(0)
	w.broken = true
	w.resumed(0)
	if got := stderr.String(); got != "yardctl: watch events: going on after position 0\n" {
		t.Errorf("it said %q", got)
	}
}
