package scheduler

// key is an idempotency key: its hash, the hash of what it came with, and the task it made.
type key struct {
	KeyRow
	epoch  uint32
	stored bool
}

func (k *key) rowKey() uint64 { return k.Row }

// keyTimer is when a key may go. Lazy: it counts only if it is the row's present one.
type keyTimer struct {
	at  Duration
	row uint64
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

// knownKey returns the task of a spec's key, or 0.
func (s *State) knownKey(spec *TaskSpec) TaskID {
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

func (s *State) addKey(t *task, spec *TaskSpec) {
	s.globals.LastKey++
	_, k := s.keys.add(key{KeyRow: KeyRow{Row: s.globals.LastKey, Key: spec.Key, Body: spec.KeyBody, Task: t.ID}})
	s.touchKey(k)
	s.indexKey(k)
	t.Flags |= FlagHasKey
}

func (s *State) indexKey(k *key) {
	s.keyRow[k.Key] = k.Row
	s.keyOfTask[k.Task] = k.Row
	if k.Expires != 0 {
		s.keyExpiry.push(keyTimer{k.Expires, k.Row})
	}
}

// endKey starts the clock of an ending task's key.
func (s *State) endKey(t *task, keep Duration) {
	if !t.has(FlagHasKey) {
		return
	}
	if _, k := s.keys.find(s.keyOfTask[t.ID]); k != nil {
		s.touchKey(k)
		k.Expires = s.globals.Served + max(keep, KeyKeepMin)
		s.keyExpiry.push(keyTimer{k.Expires, k.Row})
	}
}

// reviveKey stops the clock again.
func (s *State) reviveKey(t *task) {
	row, ok := s.keyOfTask[t.ID]
	if !ok {
		return
	}
	if _, k := s.keys.find(row); k != nil {
		s.touchKey(k)
		k.Expires = 0
		t.Flags |= FlagHasKey
	}
}

const keysStepMax = 1000

// expireKeys lets go of keys whose time is over, a bounded number a step.
func (s *State) expireKeys() {
	for n := 0; n < keysStepMax && s.keyExpiry.len() > 0 && s.keyExpiry.min().at <= s.globals.Served; n++ {
		e := s.keyExpiry.min()
		s.keyExpiry.remove(0)
		slot, k := s.keys.find(e.row)
		if k == nil || k.Expires != e.at {
			continue
		}
		s.dropRow(TableKeys, k.Row, &k.epoch, k.stored)
		delete(s.keyRow, k.Key)
		delete(s.keyOfTask, k.Task)
		s.keys.remove(slot)
	}
}
