//go:build e2e && crash

package tests

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// quantile is that of a sorted list, to a millisecond; 0 of none.
func quantile(list []time.Duration, percent int) time.Duration {
	if len(list) == 0 {
		return 0
	}
	return list[min(len(list)-1, len(list)*percent/100)].Round(time.Millisecond)
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
