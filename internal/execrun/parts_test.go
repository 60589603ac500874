//go:build linux

package execrun

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTail(t *testing.T) {
	for _, limit := range []int{0, 1, 3, 7, 100} {
		all, kept := []byte(nil), tail{max: limit}
		for i := range 60 {
			p := bytes.Repeat([]byte{byte('a' + i%26)}, i%9)
			all = append(all, p...)
			kept.write(p)
			if want := all[max(0, len(all)-limit):]; !bytes.Equal(kept.bytes(), want) || kept.size != int64(len(all)) {
				t.Fatalf("limit %d, write %d: %q, want %q", limit, i, kept.bytes(), want)
			}
		}
	}
}

func TestParseStat(t *testing.T) {
	const rest = " 5 6 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0"
	for _, name := range []string{"sh", "a b", ") Z 1 2 3", "x\n)"} {
		p, ok := parseStat(9, []byte("9 ("+name+") S"+rest))
		if want := (process{pid: 9, ppid: 5, pgid: 6, sid: 7, start: 4242, state: 'S'}); !ok || p != want {
			t.Errorf("%q: %+v, %t", name, p, ok)
		}
	}
	for _, bad := range []string{"", "9 (sh", "9 (sh) S 1 2", "9 (sh) S x 6 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0"} {
		if _, ok := parseStat(9, []byte(bad)); ok {
			t.Errorf("%q was parsed", bad)
		}
	}
}

func TestKillProcessSparesAnotherBearerOfThePid(t *testing.T) {
	p, ok, err := readProcess(os.Getpid())
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	p.start--
	if err := killProcess(p); !errors.Is(err, unix.ESRCH) {
		t.Fatal(err)
	}
}

func wirePair(t *testing.T) (a, b *wire) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ws [2]*wire
	for i := range ws {
		if ws[i], err = newWire(fds[i]); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ws[i].sock.Close() })
	}
	return ws[0], ws[1]
}

func TestWire(t *testing.T) {
	a, b := wirePair(t)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer closeFDs(pipe[:])
	sent := []request{
		{Op: opStart, Run: 1, Argv: []string{"\xff\xfe", strings.Repeat("x", ArgvEnvMax)}},
		{Op: opStop, Run: 1, Grace: -1},
		{Op: opStart, Run: 2, Env: []string{""}},
	}
	go func() {
		for i, r := range sent {
			files := []int{pipe[0], pipe[1]}
			if i == 1 {
				files = nil
			}
			if err := a.send(r, files); err != nil {
				t.Error(err)
			}
		}
		_ = a.sock.CloseWrite()
	}()
	for i, want := range sent {
		var got request
		files, err := b.recv(&got)
		if err != nil || got.Op != want.Op || got.Run != want.Run || got.Grace != want.Grace || strings.Join(got.Argv, " ") != strings.Join(want.Argv, " ") {
			t.Fatalf("frame %d: %v", i, err)
		}
		if i != 1 != (len(files) == 2) || i != 1 && pipesOf(files)[0] != pipesOf(pipe[:])[0] {
			t.Errorf("frame %d: descriptors %v", i, files)
		}
		for _, fd := range files {
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("descriptor %d would be inherited", fd)
			}
		}
		closeFDs(files)
	}
	if _, err := b.recv(new(request)); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestWireRefuses(t *testing.T) {
	for name, raw := range map[string]string{
		"too large": "\xff\xff\xff\xff", "cut head": "\x00\x00", "cut body": "\x00\x00\x00\x09abc", "no gob": "\x00\x00\x00\x03abc",
	} {
		t.Run(name, func(t *testing.T) {
			a, b := wirePair(t)
			if _, err := a.sock.Write([]byte(raw)); err != nil {
				t.Fatal(err)
			}
			_ = a.sock.CloseWrite()
			if _, err := b.recv(new(request)); err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && name != "no gob" {
				t.Errorf("%v", err)
			}
		})
	}
	a, _ := wirePair(t)
	if err := a.send(request{Argv: []string{strings.Repeat("x", frameMax+1)}}, nil); err == nil {
		t.Error("a frame over the limit was sent")
	}
}

func BenchmarkLook(b *testing.B) {
	for b.Loop() {
		if _, err := descendants(os.Getpid()); err != nil {
			b.Fatal(err)
		}
	}
	pids, _ := listPids()
	b.ReportMetric(float64(len(pids)), "processes")
}

func BenchmarkRun(b *testing.B) {
	r := New(Options{})
	defer r.Close(b.Context())
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := r.Run(b.Context(), Spec{Argv: []string{"/bin/true"}}); err != nil {
				b.Error(err)
			}
		}
	})
}
