package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal: what is written to keyboard is typed at it, and what it shows is read from there.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	raw, err := keyboard.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	number, failed := 0, error(nil)
	if err := raw.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			number, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}

// shown reads what a terminal shows until that contains text.
func shown(t *testing.T, keyboard *os.File, text string) string {
	t.Helper()
	var all bytes.Buffer
	chunk := make([]byte, 4096)
	for !strings.Contains(all.String(), text) {
		n, err := keyboard.Read(chunk)
		if err != nil {
			t.Fatalf("the terminal shows %q, and ends (%v) before %q", all.String(), err, text)
		}
		all.Write(chunk[:n])
	}
	return all.String()
}

// On a real terminal top is live: it takes the screen, knows its size, hears keys as they are pressed, and gives it back.
func TestTopOnATerminal(t *testing.T) {
	_, address := serve(t)
	keyboard, terminal := openTerminal(t)
	fd := int(terminal.Fd())
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 14, Col: 90}); err != nil {
		t.Fatal(err)
	}
	before, err := unix.IoctlGetTermios(fd, ioctlGetTermios)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		a := &app{stdin: terminal, stdout: terminal, stderr: &stderr, now: time.Now, withTimeout: context.WithTimeout,
			pause: pause, isTerminal: isTerminal, reachTimeout: time.Second}
		ended <- a.run(t.Context(), []string{"top", "--addr", address, "--interval", "200ms"})
	}()
	first := shown(t, keyboard, "PgDn")
	if !strings.HasPrefix(first, screenEnter) || strings.Count(first, "\r\n") != 13 {
		t.Errorf("the first frame is %q", first)
	}
	during, err := unix.IoctlGetTermios(fd, ioctlGetTermios)
	if err != nil || during.Lflag&(unix.ECHO|unix.ICANON|unix.ISIG) != 0 {
		t.Errorf("the terminal isn't raw: %v, %+v", err, during)
	}
	if _, err := keyboard.WriteString("s\x03"); err != nil { // the next order, and Ctrl-C
		t.Fatal(err)
	}
	shown(t, keyboard, screenLeave)
	if code := <-ended; code != exitDone || stderr.Len() > 0 {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
	after, err := unix.IoctlGetTermios(fd, ioctlGetTermios)
	if err != nil || *after != *before {
		t.Errorf("the terminal was left otherwise than it was: %v\n%+v\n%+v", err, before, after)
	}
}

// A device that is no terminal is not asked.
func TestIsTerminal(t *testing.T) {
	_, terminal := openTerminal(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name, test := range map[string]struct {
		stream any
		want   bool
	}{"a terminal": {terminal, true}, "/dev/null": {null, false}, "a buffer": {&bytes.Buffer{}, false}} {
		if got := isTerminal(test.stream); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
