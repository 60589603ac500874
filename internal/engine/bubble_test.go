package engine

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// tb is what *testing.T and *rapid.T have in common.
type tb interface {
	rapid.TB
	Cleanup(func())
}

// bubbleT is a rapid test that runs in a synctest bubble, and so has to clean up there.
type bubbleT struct {
	*rapid.T
	cleanups []func()
}

func (b *bubbleT) Cleanup(f func()) { b.cleanups = append(b.cleanups, f) }

// inBubble runs one round of a rapid test in a bubble of its own. Rapid ends a round by a panic: it goes on outside.
func inBubble(t *testing.T, rt *rapid.T, f func(*bubbleT)) {
	var ended any
	synctest.Test(t, func(*testing.T) {
		b := &bubbleT{T: rt}
		try := func(f func()) {
			defer func() {
				if p := recover(); p != nil && ended == nil {
					ended = p
				}
			}()
			f()
		}
		try(func() { f(b) })
		for i := len(b.cleanups) - 1; i >= 0; i-- {
			try(b.cleanups[i])
		}
	})
	if ended != nil {
		panic(ended)
	}
}

// pass lets fake time pass, and what is due happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// get and set are for what the engine's goroutines use, too.
func get[T any](mu sync.Locker, what *T) T {
	mu.Lock()
	defer mu.Unlock()
	return *what
}

func set[T any](mu sync.Locker, what *T, to T) {
	mu.Lock()
	defer mu.Unlock()
	*what = to
}
