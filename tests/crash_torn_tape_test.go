//go:build e2e && crash

package tests

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tapeCalls are the system calls that a tape notes.
const tapeCalls = "openat,pwrite64,write,ftruncate,truncate,fallocate,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat"

// step is what a process did to its files, in the order in which the calls began; the end of a sync is a step of its own.
type step struct {
	at   time.Time // of the call; whoever was answered before it, was answered for what stands before it
	op   string    // create, mkdir, write, size, sync (its begin), synced, rename, link, unlink
	path string    // below the directory of the tape
	to   string    // rename, link
	off  int64     // write; size: the new one
	data []byte    // write
	cut  bool      // write: it didn't return, or not with all its bytes
	left []byte    // of one that was cut: what the next start finds in its place
	call int       // sync, synced: which call
}

// strace starts a program with its system calls noted in a file.
func strace(t *testing.T, name, file string, argv ...string) *process {
	t.Helper()
	return start(t, name, nil, append([]string{"strace", "-f", "-ttt", "-y", "-xx", "-s", "4000000", "--seccomp-bpf",
		"-e", "signal=none", "-e", "trace=" + tapeCalls, "-o", file}, argv...)...)
}

// tapeCutMost is how many writes may be under way at a kill: one of each thread.
const tapeCutMost = 64

// tapeHead and tapeTail are how much of a line holds its call's name, and its result: the rest is data.
const (
	tapeHead = 200
	tapeTail = 4 * 4096 // a path in hexadecimal
)

var (
	tapeLine   = regexp.MustCompile(`^(\d+) +(\d+)\.(\d+) (?:<\.\.\. (\w+) resumed>|(\w+)\()`)
	tapeString = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"`)
	tapeFile   = regexp.MustCompile(`^\d+<((?:\\x[0-9a-f]{2})*)>`)
	tapeSize   = regexp.MustCompile(`, (\d+)\)`)
)

// readTape reads what a process did below a directory. A call that didn't return counts as begun: its data, or a part of it,
// may be on the disk, and nothing was promised.
func readTape(t *testing.T, file, root string) []step {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := tapeReader{t: t, root: root, open: map[string]string{}, syncs: map[string]int{}, writes: map[string]int{}}
	in := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return r.steps // the last line may be cut off by the kill
		}
		r.line(strings.TrimSuffix(line, "\n"))
	}
}

// tapeReader turns strace's lines into steps.
type tapeReader struct {
	t      *testing.T
	root   string
	steps  []step
	open   map[string]string // thread → the first half of its call under way
	syncs  map[string]int    // thread → its sync under way
	writes map[string]int    // thread → step of its write under way
	calls  int
}

func (r *tapeReader) line(line string) {
	m := tapeLine.FindStringSubmatch(line[:min(len(line), tapeHead)])
	if m == nil {
		return // an exit, or a signal
	}
	sec, _ := strconv.ParseInt(m[2], 10, 64) // digits: see tapeLine
	micro, _ := strconv.ParseInt(m[3], 10, 64)
	at := time.UnixMicro(sec*1e6 + micro)
	thread, rest := m[1], line[len(m[0]):]
	if m[4] != "" { // the second half
		first := r.open[thread]
		delete(r.open, thread)
		r.ended(thread, m[4], first, rest, at)
		return
	}
	first, _, under := strings.Cut(strings.Replace(rest, " <detached ...>", " <unfinished ...>", 1), " <unfinished ...>")
	r.began(thread, m[5], first, at)
	if under {
		r.open[thread] = first
	} else {
		r.ended(thread, m[5], rest, rest, at)
	}
}

// began takes the begin of a call that counts from there.
func (r *tapeReader) began(thread, call, args string, at time.Time) {
	path, ours := r.file(args)
	if !ours {
		return
	}
	switch call {
	case "pwrite64":
		_, text, _ := strings.Cut(args, `"`)
		text, _, _ = strings.Cut(text, `"`)
		data := r.decode(text)
		off := args[strings.LastIndex(strings.TrimRight(cutResult(args), " "), ", ")+2:]
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(cutResult(off)), ")"), 10, 64)
		if err != nil {
			r.t.Fatalf("the tape's write %.80s…: %v", args, err)
		}
		r.writes[thread] = len(r.steps)
		r.add(step{at: at, op: "write", path: path, off: n, data: data, cut: true})
	case "write":
		r.t.Fatalf("the tape has a write without an offset to %s", path)
	case "fsync", "fdatasync":
		r.calls++
		r.syncs[thread] = r.calls
		r.add(step{at: at, op: "sync", path: path, call: r.calls})
	}
}

// cutResult is a call without its result.
func cutResult(args string) string {
	if at := strings.LastIndex(args, ") = "); at >= 0 {
		return args[:at]
	}
	return args
}

// ended takes the end of a call that counts from there.
func (r *tapeReader) ended(thread, call, first, rest string, at time.Time) {
	if end := rest[max(0, len(rest)-tapeTail):]; strings.Contains(end, "= -1 E") || !strings.Contains(end, "= ") {
		delete(r.syncs, thread)
		delete(r.writes, thread)
		return
	}
	switch call {
	case "pwrite64":
		if i, ours := r.writes[thread]; ours {
			s := &r.steps[i]
			s.cut = !strings.HasSuffix(rest, fmt.Sprintf("= %d", len(s.data)))
		}
		delete(r.writes, thread)
	case "fsync", "fdatasync":
		if n := r.syncs[thread]; n != 0 {
			path, _ := r.file(first)
			r.add(step{at: at, op: "synced", path: path, call: n})
		}
		delete(r.syncs, thread)
	case "ftruncate", "fallocate":
		if path, ours := r.file(first); ours {
			sizes := tapeSize.FindAllStringSubmatch(rest, -1)
			if len(sizes) == 0 {
				sizes = tapeSize.FindAllStringSubmatch(first+")", -1)
			}
			n, _ := strconv.ParseInt(sizes[len(sizes)-1][1], 10, 64)
			r.add(step{at: at, op: "size", path: path, off: n})
		}
	case "openat":
		if strings.Contains(first, "O_CREAT") {
			r.named("create", first, at)
		}
	case "mkdir", "mkdirat":
		r.named("mkdir", first, at)
	case "unlink", "unlinkat":
		r.named("unlink", first, at)
	case "rename", "renameat", "renameat2":
		r.named("rename", first, at)
	case "link", "linkat":
		r.named("link", first, at)
	case "truncate":
		r.t.Fatalf("the tape has a truncate by name: %.200s", first)
	}
}

// named adds a change of names.
func (r *tapeReader) named(op, args string, at time.Time) {
	var paths []string
	for _, m := range tapeString.FindAllStringSubmatch(args, -1) {
		path, ours := r.below(string(r.decode(m[1])))
		if !ours {
			return
		}
		paths = append(paths, path)
	}
	s := step{at: at, op: op, path: paths[0]}
	if len(paths) > 1 {
		s.to = paths[1]
	}
	r.add(s)
}

// readCut reads what writes that were cut have left, once their process has ended.
func readCut(t *testing.T, steps []step, root string) (n int) {
	t.Helper()
	for i := range steps {
		s := &steps[i]
		if !s.cut {
			continue
		}
		n++
		f, err := os.Open(filepath.Join(root, s.path))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		s.left = make([]byte, len(s.data))
		got, err := f.ReadAt(s.left, s.off)
		if err := errors.Join(f.Close(), err); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		s.left = s.left[:got]
	}
	if n > tapeCutMost {
		t.Fatalf("%d writes on a tape didn't return", n)
	}
	return n
}

func (r *tapeReader) add(s step) { r.steps = append(r.steps, s) }

// file is the path behind the file descriptor that a call begins with.
func (r *tapeReader) file(args string) (path string, ours bool) {
	m := tapeFile.FindStringSubmatch(args)
	if m == nil {
		return "", false
	}
	return r.below(string(r.decode(m[1])))
}

func (r *tapeReader) below(path string) (string, bool) {
	rel, err := filepath.Rel(r.root, path)
	return rel, err == nil && !strings.HasPrefix(rel, "..")
}

func (r *tapeReader) decode(text string) []byte {
	data, err := hex.DecodeString(strings.ReplaceAll(text, `\x`, ""))
	if err != nil {
		r.t.Fatalf("the tape's string: %v", err)
	}
	return data
}

func (s *step) String() string {
	return fmt.Sprintf("%s %s %s at %d, %d bytes", s.op, s.path, s.to, s.off, len(s.data))
}
