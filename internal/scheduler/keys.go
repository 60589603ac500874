package scheduler

// key is an idempotency key: its hash, the hash of what it came with, and the task it made.
type key struct {
	KeyRow
	slot   uint32
	pos    int32 // in State.keyExpiry; -1: not there, its task lives
	epoch  uint32
	stored bool
}

func (k *key) rowKey() uint64 { return k.Row }

// keyTimer is when a key may go.
type keyTimer struct {
	at   Duration
	row  uint64
	slot uint32
}

func keyTimerLess(a, b keyTimer) bool { return a.at < b.at || a.at == b.at && a.row < b.row }

// checkKey looks a spec's key up, in the state and among those of the same Submit.
func (s *State) checkKey(spec *TaskSpec) (body Hash128, id TaskID, known bool) {
	if row, ok := s.keyRow[spec.Key]; ok {
		_, k := s.keys.find(row)
		return k.Body, k.Task, true
	}
	body, known = s.scratch.keys[spec.Key]
	return body, 0, known
}

// taskOfKey returns the task of a spec's key, or 0.
func (s *State) taskOfKey(spec *TaskSpec) TaskID {
	if !spec.HasKey {
		return 0
	}
	row, ok := s.keyRow[spec.Key]
	if !ok {
		return 0
	}
	_, k := s.keys.find(row)
	return k.Task
}

// addKey keeps the key of a task just made.
func (s *State) addKey(t *task, spec *TaskSpec) {
	s.globals.LastKey++
	k := s.putKey(KeyRow{Row: s.globals.LastKey, Key: spec.Key, Body: spec.KeyBody, Task: t.ID})
	s.rows++
	s.touchKey(k)
	t.Flags |= FlagHasKey
}

func (s *State) putKey(row KeyRow) *key {
	slot, k := s.keys.add(key{KeyRow: row, pos: -1})
	k.slot = slot
	s.keyRow[k.Key] = k.Row
	s.keyOfTask[k.Task] = k.Row
	if k.Expires != 0 {
		s.keyExpiry.push(keyTimer{k.Expires, k.Row, k.slot})
	}
	return k
}

// endKey starts the clock of an ending task's key.
func (s *State) endKey(t *task, keep Duration) {
	if !t.has(FlagHasKey) {
		return
	}
	_, k := s.keys.find(s.keyOfTask[t.ID])
	s.rows++
	s.touchKey(k)
	k.Expires = s.globals.Served + max(keep, KeyKeepMin)
	s.keyExpiry.push(keyTimer{k.Expires, k.Row, k.slot})
}

// reviveKey stops the clock of a dead letter that lives again, if its key is still kept.
func (s *State) reviveKey(t *task) {
	row, ok := s.keyOfTask[t.ID]
	if !ok {
		return
	}
	_, k := s.keys.find(row)
	s.rows++
	s.touchKey(k)
	s.keyExpiry.remove(k.pos)
	k.Expires = 0
	t.Flags |= FlagHasKey
}

const keysStepMax = 1000

// expireKeys lets go of keys whose time is over, a bounded number a step. Later ones wait for the next step, whenever it
// comes: nobody waits for them to go.
func (s *State) expireKeys() {
	for n := 0; n < keysStepMax && s.keyExpiry.len() > 0 && s.keyExpiry.min().at <= s.globals.Served; n++ {
		k := s.keys.at(s.keyExpiry.min().slot)
		s.rows++
		s.keyExpiry.remove(0)
		s.dropRow(TableKeys, k.Row, &k.epoch, k.stored)
		delete(s.keyRow, k.Key)
		delete(s.keyOfTask, k.Task)
		s.keys.remove(k.slot)
	}
}
