package watch

import "sync"

// Latest is a value that changes. Readers see the newest and skip what came between.
type Latest[V any] struct {
	mu      sync.Mutex
	value   V
	version uint64        // counts Set
	moved   chan struct{} // closed at the next Set; nil: nobody waits
}

// Set replaces the value.
func (l *Latest[V]) Set(v V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.value = v
	l.version++
	if l.moved != nil {
		close(l.moved)
		l.moved = nil
	}
}

// Get returns the newest value, its version (0: never set) and a signal that is closed once there is a newer one.
func (l *Latest[V]) Get() (v V, version uint64, moved <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.moved == nil {
		l.moved = make(chan struct{})
	}
	return l.value, l.version, l.moved
}
