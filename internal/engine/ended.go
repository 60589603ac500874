package engine

import "github.com/yardmaster/yardmaster/internal/scheduler"

// endLine holds finished tasks to keep, in order of their ends. Tasks end nearly in the order of their ids, so 16 ids in a
// row share an entry of the map: most ends then look nothing up.
type endLine struct {
	list   []finished                  // Invariant: only grows; what is in it doesn't change
	valid  int                         // how many of list are: one whose task was revived or forgotten isn't
	at     map[scheduler.TaskID]uint32 // id / endGroupIDs → its group
	groups []endGroup
	key    scheduler.TaskID // of the group that add used last, if there is any
	last   uint32           // where that is
}

// endGroup says where the valid ends of the ids with the same id / endGroupIDs are in the list, + 1; 0: there is none.
type endGroup [endGroupIDs]int32

const endGroupIDs = 16

func (l *endLine) len() int { return len(l.list) }

func (l *endLine) add(rec finished) {
	at := &l.groupOf(rec.id)[rec.id%endGroupIDs]
	if *at == 0 {
		l.valid++
	}
	l.list = append(l.list, rec)
	*at = int32(len(l.list))
}

// groupOf returns the group of an id, which it makes if need be.
func (l *endLine) groupOf(id scheduler.TaskID) *endGroup {
	key := id / endGroupIDs
	if len(l.groups) == 0 || key != l.key {
		i, ok := l.at[key]
		if !ok {
			i = uint32(len(l.groups))
			l.groups = append(l.groups, endGroup{})
			l.at[key] = i
		}
		l.key, l.last = key, i
	}
	return &l.groups[l.last]
}

// place returns where an id's end is in the list, + 1; nil: its group has none.
func (l *endLine) place(id scheduler.TaskID) *int32 {
	i, ok := l.at[id/endGroupIDs]
	if !ok {
		return nil
	}
	return &l.groups[i][id%endGroupIDs]
}

func (l *endLine) get(id scheduler.TaskID) (finished, bool) {
	if at := l.place(id); at != nil && *at != 0 {
		return l.list[*at-1], true
	}
	return finished{}, false
}

func (l *endLine) remove(id scheduler.TaskID) {
	if at := l.place(id); at != nil && *at != 0 {
		*at = 0
		l.valid--
	}
}

// isValid reports whether the i-th is its task's valid end.
func (l *endLine) isValid(i int) bool {
	if l.valid == len(l.list) {
		return true
	}
	at := l.place(l.list[i].id)
	return at != nil && int(*at) == i+1
}
