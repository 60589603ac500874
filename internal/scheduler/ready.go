package scheduler

// readySet is a shape's Pending tasks, in order: the set of their keys. It takes a bit for a task where they come in order
// of id, and 16 to 32 bytes, seldom more, where many shapes or priorities come in turn.
//
// Rejected: a heap, which took 16 for every task, and ten levels of look-ups and writes to other tasks' rows to take the
// first of a million off.
type readySet struct {
	keys idSet
	n    int
}

const readyIDBits = 54 // the others of an id, the group's, are the same in all

// readyKey packs priority (higher first) and id into one number: a retried task keeps its place.
func readyKey(t *task) TaskID {
	return TaskID(PriorityMax-int(t.Priority))<<readyIDBits | t.ID&(1<<readyIDBits-1)
}

func (r *readySet) len() int { return r.n }

// min is the first task's key; there must be one.
func (r *readySet) min() TaskID { return r.keys.first() }

func (r *readySet) add(key TaskID) {
	r.keys.add(key)
	r.n++
}

func (r *readySet) remove(key TaskID) {
	r.keys.remove(key)
	r.n--
}

// before counts the keys below one, at most n.
func (r *readySet) before(key TaskID, n int) int {
	count := 0
	r.keys.walk(0, func(k TaskID) bool {
		if k >= key || count == n {
			return false
		}
		count++
		return true
	})
	return count
}

// firstReady returns the first of a shape's Pending tasks; there must be one.
func (s *State) firstReady(sh *shape) *task {
	const mask = 1<<readyIDBits - 1
	return s.findTask(sh.ready.min()&mask | s.globals.LastTask&^mask)
}
