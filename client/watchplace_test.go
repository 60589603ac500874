package client

import "testing"

func TestWatchFromFirst(t *testing.T) {
	w := (&Client{}).Watch(WatchFilter{After: WatchFromFirst})
	if w.Position() != 0 || !w.placed || w.request().GetAfterPosition() != WatchFromFirst {
		t.Fatalf("position %d, asks for %d", w.Position(), w.request().GetAfterPosition())
	}
	if w.reach(5); w.request().GetAfterPosition() != 5 {
		t.Fatalf("asks for %d after position 5", w.request().GetAfterPosition())
	}
}
