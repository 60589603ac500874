//go:build linux

package execrun

import (
	"bytes"
	"fmt"
	"testing"
)

// FuzzParseStat: a process may call itself anything; its line of the process table is read right nevertheless.
func FuzzParseStat(f *testing.F) {
	f.Add("sh", "1 (sh) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20", uint16(7), uint64(99))
	f.Add(") R 1 1 1 (", "", uint16(1), uint64(0))
	f.Add("a\nb", "1 () ", uint16(0), uint64(1<<64-1))
	f.Fuzz(func(t *testing.T, comm, line string, ids uint16, start uint64) {
		parseStat(1, []byte(line)) // reads any bytes
		text := fmt.Appendf(nil, "42 (%s) S %d %d %d 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 %d %d 0", comm, ids, ids+1, ids+2, 0, start)
		p, ok := parseStat(42, text)
		if want := (process{pid: 42, ppid: int(ids), pgid: int(ids + 1), sid: int(ids + 2), start: start, state: 'S'}); !ok || p != want {
			t.Fatalf("%q is %+v, want %+v", text, p, want)
		}
	})
}

// FuzzLines: a stream of any bytes, in pieces of any size, is cut into lines of bounded length, as one that comes at once
// is.
func FuzzLines(f *testing.F) {
	f.Add([]byte("25 resizing\n62.5\r\n\n\nlast"), uint8(3))
	f.Add(bytes.Repeat([]byte{'x'}, 3*ProgressLineMax), uint8(200))
	f.Add([]byte("\r\r\n\x00\n"), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, piece uint8) {
		if len(data) > 64<<10 {
			return
		}
		cut := func(size int) (lines [][]byte) {
			l := liner{say: func(line []byte) { lines = append(lines, bytes.Clone(line)) }}
			for rest := data; len(rest) > 0; {
				n := min(size, len(rest))
				l.write(rest[:n])
				rest = rest[n:]
				if len(l.kept) > ProgressLineMax+1 {
					t.Fatalf("%d bytes are kept", len(l.kept))
				}
			}
			l.end()
			return lines
		}
		whole, parts := cut(len(data)+1), cut(int(piece)+1)
		if len(whole) != len(parts) {
			t.Fatalf("%d lines at once, %d in pieces", len(whole), len(parts))
		}
		for i, line := range whole {
			if !bytes.Equal(line, parts[i]) || len(line) == 0 || len(line) > ProgressLineMax+1 || bytes.IndexByte(line, '\n') >= 0 {
				t.Fatalf("line %d: %q at once, %q in pieces", i, line, parts[i])
			}
		}
		for _, line := range bytes.Split(data, []byte{'\n'}) {
			if line = bytes.TrimSuffix(line, []byte{'\r'}); len(line) > 0 && len(line) <= ProgressLineMax {
				if !bytes.Equal(whole[0], line) {
					t.Fatalf("line %q, want %q", whole[0], line)
				}
				whole = whole[1:]
			} else if len(line) > 0 {
				whole = whole[1:]
			}
		}
	})
}
