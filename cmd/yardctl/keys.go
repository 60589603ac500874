package main

// key is a key that top knows.
type key int

const (
	keyQuit key = iota + 1
	keySort
	keyTab
	keyUp
	keyDown
	keyPageUp
	keyPageDown
	keyHome
	keyEnd
)

var plainKeys = map[byte]key{
	'q': keyQuit, 'Q': keyQuit, 0x03: keyQuit, 's': keySort, 'S': keySort, '\t': keyTab,
	'k': keyUp, 'j': keyDown, 'g': keyHome, 'G': keyEnd, ' ': keyPageDown, 'b': keyPageUp,
}

// escapedKeys are what follows "ESC [" or "ESC O", as VT220, xterm and the Linux console send it.
var escapedKeys = map[string]key{
	"A": keyUp, "B": keyDown, "H": keyHome, "F": keyEnd,
	"5~": keyPageUp, "6~": keyPageDown, "1~": keyHome, "4~": keyEnd, "7~": keyHome, "8~": keyEnd,
}

// escapeBytesMax is the longest sequence of a key; what is longer is no key's.
const escapeBytesMax = 16

// keyDecoder finds keys in what a terminal sends. A sequence may be cut anywhere between two reads.
type keyDecoder struct {
	pending []byte // the beginning of a sequence: ESC and what has followed
}

// decode returns the keys that a chunk completes. Keys that top doesn't know, and their sequences, are passed over.
func (d *keyDecoder) decode(chunk []byte) []key {
	var keys []key
	for _, c := range chunk {
		switch {
		case c == 0x1b:
			d.pending = append(d.pending[:0], c)
			continue
		case len(d.pending) == 1 && (c == '[' || c == 'O'):
			d.pending = append(d.pending, c)
			continue
		case len(d.pending) >= 2:
			d.pending = append(d.pending, c)
			if c < 0x40 && len(d.pending) < escapeBytesMax {
				continue // parameters; a sequence ends with a byte from 0x40
			}
			if k := escapedKeys[string(d.pending[2:])]; k != 0 {
				keys = append(keys, k)
			}
			d.pending = d.pending[:0]
			continue
		}
		d.pending = d.pending[:0] // a lone ESC, then another key
		if k := plainKeys[c]; k != 0 {
			keys = append(keys, k)
		}
	}
	return keys
}
