package consensus

import (
	"errors"
	"strings"
	"testing"
)

func TestPositionCheck(t *testing.T) {
	snap := func(index, floor uint64) snapshotRecord {
		return snapshotRecord{Index: index, Term: min(index, 2), Floor: floor}
	}
	for name, c := range map[string]struct {
		p    position
		want string // part of the refusal; empty: start
	}{
		"new":                                  {position{}, ""},
		"bootstrap cut short":                  {position{term: 1}, ""},
		"bootstrapped":                         {position{first: 1, last: 1, lastTerm: 1, term: 1}, ""},
		"no checkpoint yet":                    {position{first: 1, last: 9, lastTerm: 2, term: 2}, ""},
		"checkpoint without cut":               {position{disk: 5, first: 1, last: 9, lastTerm: 2, term: 2}, ""},
		"checkpoint of all":                    {position{disk: 9, first: 1, last: 9, lastTerm: 2, term: 2}, ""},
		"cut":                                  {position{snapshot: snap(5, 0), disk: 7, first: 3, last: 9, lastTerm: 2, term: 2}, ""},
		"cut without trail":                    {position{snapshot: snap(5, 0), disk: 5, first: 6, last: 9, lastTerm: 2, term: 2}, ""},
		"cut to nothing":                       {position{snapshot: snap(5, 0), disk: 5, term: 2}, ""},
		"installed":                            {position{snapshot: snap(5, 8), disk: 8, term: 2}, ""},
		"installed, log behind":                {position{snapshot: snap(5, 8), disk: 8, first: 6, last: 6, lastTerm: 2, term: 2}, ""},
		"term voted, no entry of it":           {position{first: 1, last: 9, lastTerm: 2, term: 4}, ""},
		"configuration entry after last apply": {position{snapshot: snap(8, 0), disk: 8, first: 3, last: 9, lastTerm: 2, term: 2}, ""},

		"checkpoint older than cut":     {position{snapshot: snap(5, 0), disk: 4, first: 3, last: 9, lastTerm: 2, term: 2}, "commands 5 to 5 are in neither"},
		"checkpoint newer than log":     {position{snapshot: snap(5, 0), disk: 10, first: 3, last: 9, lastTerm: 2, term: 2}, "ends at 9"},
		"log gone":                      {position{disk: 5, term: 2}, "ends at 0"},
		"log gone after cut":            {position{snapshot: snap(5, 0), disk: 7, term: 2}, "ends at 5"},
		"log older than cut":            {position{snapshot: snap(5, 0), disk: 5, first: 1, last: 4, lastTerm: 2, term: 2}, "before the snapshot at 5"},
		"gap":                           {position{snapshot: snap(5, 0), disk: 8, first: 8, last: 9, lastTerm: 2, term: 2}, "commands 6 to 7 are missing"},
		"checkpoint gone, log was cut":  {position{first: 4, last: 9, lastTerm: 2, term: 2}, "commands 1 to 3 are missing"},
		"term gone":                     {position{first: 1, last: 9, lastTerm: 2}, "raft-state.db"},
		"term older":                    {position{first: 1, last: 9, lastTerm: 3, term: 2}, "reach term 3"},
		"log gone before checkpoint":    {position{term: 2}, "neither log nor checkpoint"},
		"installed, ahead of the floor": {position{snapshot: snap(5, 8), disk: 9, first: 6, last: 6, lastTerm: 2, term: 2}, "ends at 6"},
	} {
		err := c.p.check()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: refused: %v", name, err)
		case c.want != "" && (!errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
