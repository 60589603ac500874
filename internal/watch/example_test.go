package watch_test

import (
	"fmt"

	"github.com/yardmaster/yardmaster/internal/watch"
)

// A reader that falls behind is told how much it has missed, and goes on.
func ExampleRing() {
	r := watch.NewRing[string](3, 0)
	r.Append([]string{"one", "two", "three", "four", "five"})
	buf := make([]string, 2)
	for at := uint64(1); ; { // the first was read before
		n, through, missed, moved := r.Read(at, buf)
		if moved != nil {
			fmt.Println("nothing yet after", at)
			return // or wait: <-moved
		}
		fmt.Println(buf[:n], "through", through, "missed", missed)
		at = through
	}
	// Output:
	// [three four] through 4 missed 1
	// [five] through 5 missed 0
	// nothing yet after 5
}

// Only the newest value counts; moved says when there is a newer one.
func ExampleLatest() {
	var l watch.Latest[string]
	l.Set("draining 3")
	l.Set("draining 2")
	v, version, moved := l.Get()
	fmt.Println(v, version)
	l.Set("drained")
	<-moved
	v, version, _ = l.Get()
	fmt.Println(v, version)
	// Output:
	// draining 2 2
	// drained 3
}
