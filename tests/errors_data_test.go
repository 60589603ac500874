//go:build e2e

package tests

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/consensus"
	"github.com/yardmaster/yardmaster/internal/store"
)

// handlersOf makes a handlers file of one handler.
func handlersOf(handler string) string { return "handlers:\n- {" + handler + "}\n" }

// errorFiles are in the working directory of the commands that name them.
var errorFiles = map[string]string{
	"file": "", "big": strings.Repeat("x", 1_100_000),
	"syntax.yaml": ": {", "unknown.yaml": "sesion-ttl: 3s\n", "list.yaml": "max-tasks: [1]\n", "mapping.yaml": "max-tasks: {a: 1}\n",
	"value.yaml": "session-ttl: soon\n", "twice.yaml": "max-tasks: 3\nmax-tasks: 4\n", "sequence.yaml": "- max-tasks\n",
	"documents.yaml": "max-tasks: 3\n---\nmax-tasks: x\n",

	"good.yaml": handlersOf("kind: hello, exec: {argv: [cat]}"), "empty.yaml": "", "key.yaml": "handlrs: []\n",
	"progresshttp.yaml": handlersOf("kind: a, progress: true, http: {url: 'http://127.0.0.1:1/'}"),
	"progressenv.yaml":  handlersOf("kind: a, exec: {argv: [cat], env: {YARD_PROGRESS_FD: '5'}}"),
	"handlerkey.yaml":   handlersOf("kind: a, exce: {argv: [cat]}"), "type.yaml": "handlers: 3\n", "nokind.yaml": handlersOf("exec: {argv: [cat]}"),
	"badkind.yaml": handlersOf("kind: Bad_Kind, exec: {argv: [cat]}"), "twokinds.yaml": handlersOf("kind: a, exec: {argv: [cat]}}\n- {kind: a, exec: {argv: [cat]}"),
	"neither.yaml": handlersOf("kind: a"), "both.yaml": handlersOf("kind: a, exec: {argv: [cat]}, http: {url: 'http://x'}"),
	"noargv.yaml": handlersOf("kind: a, exec: {}"), "placeholder.yaml": handlersOf("kind: a, exec: {argv: [cat, '{payload}']}"),
	"passenv.yaml": handlersOf("kind: a, exec: {argv: [cat], pass_env: ['A=B']}"), "env.yaml": handlersOf("kind: a, exec: {argv: [cat], env: {'A=': x}}"),
	"codes.yaml": handlersOf("kind: a, exec: {argv: [cat], permanent_codes: [0]}"), "url.yaml": handlersOf("kind: a, http: {url: 'ftp://x'}"),
	"poolname.yaml": "pools: {Big: 3}\n" + handlersOf("kind: a, exec: {argv: [cat]}"), "pooldefault.yaml": "pools: {default: 3}\n" + handlersOf("kind: a, exec: {argv: [cat]}"),
	"poolslots.yaml": "pools: {big: 0}\n" + handlersOf("kind: a, exec: {argv: [cat]}"), "poolprefetch.yaml": "pools: {big: {slots: 2, prefetch: -1}}\n" + handlersOf("kind: a, exec: {argv: [cat]}"),
	"poolkey.yaml": "pools: {big: {slots: 2, prefech: 1}}\n" + handlersOf("kind: a, exec: {argv: [cat]}"), "poolunknown.yaml": handlersOf("kind: a, pool: big, exec: {argv: [cat]}"),
	"poolcpu.yaml": "pools: {big: 2}\n" + handlersOf("kind: a, pool: big, cpu: true, exec: {argv: [cat]}"), "twodocuments.yaml": handlersOf("kind: a, exec: {argv: [cat]}") + "---\nhandlers: []\n",

	"badjson.jsonl": "{\"kind\": \"hello\"}\n{\"kind\": 3}\n", "badkind.jsonl": "{\"kind\": \"hello\"}\n{\"kind\": \"Bad_Kind\"}\n",
	"unknown.jsonl": "{\"kind\": \"hello\", \"prioritty\": 3}\n", "longline.jsonl": `{"kind": "hello", "payload": "` + strings.Repeat("A", 9<<20) + `"}`,
	"oversize.jsonl": `{"kind": "hello", "payload": "` + strings.Repeat("AAAA", 400_000) + `"}`,
}

// errorData makes data directories, of a copy of a whole one unless they begin from nothing.
var errorData = map[string]func(t *testing.T, data string){
	"whole":            func(*testing.T, string) {},
	"newer-format":     func(t *testing.T, data string) { unpack(t, "format-99", data) },
	"newer-log":        newerLog,
	"damaged-rows":     func(t *testing.T, data string) { garble(t, data, "yardmaster.db", []byte("saved")) },
	"damaged-pages":    func(t *testing.T, data string) { blank(t, data, "yardmaster.db", 16<<10, 64<<10) },
	"damaged-head":     func(t *testing.T, data string) { blank(t, data, "yardmaster.db", 0, 8<<10) },
	"cut-short":        func(t *testing.T, data string) { cut(t, data, "yardmaster.db", 24<<10) },
	"emptied":          func(t *testing.T, data string) { cut(t, data, "yardmaster.db", 0) },
	"damaged-entry":    func(t *testing.T, data string) { garble(t, data, segmentOf(t, data), []byte("payload of behind")) },
	"damaged-segment":  func(t *testing.T, data string) { blank(t, data, segmentOf(t, data), 0, 32) },
	"damaged-segments": func(t *testing.T, data string) { blank(t, data, "raft/wal/wal-meta.db", 0, 8<<10) },
	"damaged-term":     func(t *testing.T, data string) { blank(t, data, "raft/raft-state.db", 0, 8<<10) },
	"no-log":           func(t *testing.T, data string) { remove(t, data, "raft") },
	"no-segments":      func(t *testing.T, data string) { remove(t, data, "raft/wal/wal-meta.db") },
	"no-term":          func(t *testing.T, data string) { remove(t, data, "raft/raft-state.db") },
	"full-disk/data":   func(t *testing.T, data string) { fullDisk(t, filepath.Dir(data), 1<<20, true) },
	"full-disk/log":    func(t *testing.T, data string) { fullDisk(t, filepath.Dir(data), 160<<10, false) },
}

func change(t *testing.T, data, file string, how func(text []byte) []byte) {
	t.Helper()
	path := filepath.Join(data, file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, how(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// garble changes a bit wherever a word stands.
func garble(t *testing.T, data, file string, word []byte) {
	t.Helper()
	change(t, data, file, func(text []byte) []byte {
		places := bytes.Count(text, word)
		if places == 0 {
			t.Fatalf("%s doesn't have %q", file, word)
		}
		for at := bytes.Index(text, word); at >= 0; at = bytes.Index(text, word) {
			text[at] ^= 1
		}
		return text
	})
}

func blank(t *testing.T, data, file string, from, n int) {
	t.Helper()
	change(t, data, file, func(text []byte) []byte { clear(text[from : from+n]); return text })
}

func cut(t *testing.T, data, file string, n int) {
	t.Helper()
	change(t, data, file, func(text []byte) []byte { return text[:n] })
}

func remove(t *testing.T, data, file string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(data, file)); err != nil {
		t.Fatal(err)
	}
}

func segmentOf(t *testing.T, data string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "raft", "wal", "*.wal"))
	if err != nil || len(files) != 1 {
		t.Fatalf("segments %q, %v", files, err)
	}
	return filepath.Join("raft", "wal", filepath.Base(files[0]))
}

// fullDisk mounts a disk of so many bytes, and fills it if it is told to.
func fullDisk(t *testing.T, dir string, size int, filled bool) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("no small disk can be made (mount a tmpfs: %v); run as root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if filled {
		fill(t, filepath.Join(dir, "ballast"))
	}
}

// nothing is a machine that lets the log's commands pass.
type nothing struct{}

func (nothing) Apply(uint64, uint64, []byte)             {}
func (nothing) Checkpoint(context.Context, uint64) error { return nil }

// newerLog appends an entry that follows rules of a release to come.
func newerLog(t *testing.T, data string) {
	t.Helper()
	s, err := store.Open(store.Options{Dir: data, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := consensus.Open(consensus.Options{
		Dir: filepath.Join(data, "raft"), NodeID: "1", Machine: nothing{}, Disk: s, Now: time.Now, SegmentBytes: 128 << 10,
		Fatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for term := range l.Terms() {
		if term.Leader {
			break
		}
	}
	entry, err := proto.Marshal(&storagev1.Entry{Logic: 99})
	if err != nil {
		t.Fatal(err)
	}
	wait, err := l.Propose(entry)
	if err != nil {
		t.Fatal(err)
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
}
