package engine

// arena copies bytes into chunks, at one allocation for many. What still holds a part keeps its chunk, and no more.
type arena struct{ chunk []byte }

// arenaChunk is how much memory is taken at a time, in bytes.
const arenaChunk = 64 << 10

// keep copies data. Nobody may write to the copy.
func (a *arena) keep(data []byte) []byte {
	if len(data) > arenaChunk/4 {
		return append([]byte(nil), data...)
	}
	if cap(a.chunk)-len(a.chunk) < len(data) {
		a.chunk = make([]byte, 0, arenaChunk)
	}
	from := len(a.chunk)
	a.chunk = append(a.chunk, data...)
	return a.chunk[from:len(a.chunk):len(a.chunk)]
}
