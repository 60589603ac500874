package client

// Waiting is the room that a Submitter has given out: nothing, once all has been told.
func (s *Submitter) Waiting() (tasks, bytes, room int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tasks, s.bytes, s.room.Len()
}
