//go:build e2e

package tests

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// process is one start of a program, with what it wrote.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	log   *transcript
	ended chan struct{} // closed once it has been waited for; err is set before
	err   error
	asked atomic.Bool // a signal was sent to it
}

// start runs a program in the tests' environment and more. The end of the test kills it.
func start(t *testing.T, name string, more []string, argv ...string) *process {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: name, cmd: exec.Command(argv[0], argv[1:]...), log: newTranscript(), ended: make(chan struct{})}
	p.cmd.Env = environment(more...)
	p.cmd.Stdout, p.cmd.Stderr = w, w // a file, so that Wait doesn't wait for whoever inherited it
	if err := p.cmd.Start(); err != nil {
		r.Close()
		w.Close()
		t.Fatalf("start %s: %v", name, err)
	}
	w.Close()
	keep(p.pid(), true)
	go p.log.read(r)
	go func() {
		p.err = p.cmd.Wait()
		keep(p.pid(), false)
		close(p.ended)
	}()
	trialOf(t) // before the clean-up below, so that it ends later
	t.Cleanup(func() {
		p.kill()
		p.log.settle()
		p.show()
	})
	return p
}

// show adds what the process wrote to a failed test's output, and stores it with YARD_KEEP.
func (p *process) show() {
	if dir := os.Getenv("YARD_KEEP"); dir != "" {
		path := filepath.Join(dir, fmt.Sprintf("%s-%s-%d.log", strings.ReplaceAll(p.t.Name(), "/", "-"), p.name, p.pid()))
		if err := os.WriteFile(path, []byte(strings.Join(p.log.all(), "\n")+"\n"), 0o600); err != nil {
			p.t.Log(err)
		}
	}
	if !p.t.Failed() {
		return
	}
	const most = 60
	lines := p.log.all()
	omitted := max(0, len(lines)-most)
	p.t.Logf("--- %s (pid %d, %s), %d lines, the first %d left out\n%s", p.name, p.pid(), p.cmd.ProcessState, len(lines), omitted,
		strings.Join(lines[omitted:], "\n"))
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) signal(sig syscall.Signal) {
	p.asked.Store(true)
	if p.alive() {
		_ = p.cmd.Process.Signal(sig) // it may have ended just now
	}
}

// kill is kill -9, and waits until the process is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// lives says that the process is not to end unless it is told to: else its test ends.
func (p *process) lives() *process {
	ctx := trialOf(p.t)
	go func() {
		select {
		case <-p.ended:
			if !p.asked.Load() {
				ctx.end(fmt.Errorf("%s (pid %d) has ended by itself: %s", p.name, p.pid(), p.cmd.ProcessState))
			}
		case <-ctx.Done():
		}
	}()
	return p
}

// exit waits for the process's end and returns its exit code.
func (p *process) exit() int {
	p.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		p.t.Fatalf("%s (pid %d) doesn't end", p.name, p.pid())
	}
	p.log.settle()
	return p.cmd.ProcessState.ExitCode()
}

// says waits until a line of its output holds all of the words, and returns the line.
func (p *process) says(words ...string) string {
	p.t.Helper()
	var line string
	eventually(p.t, fmt.Sprintf("%s says %q", p.name, words), func() bool {
		line = p.log.find(words...)
		return line != ""
	})
	return line
}

// transcript is the lines that a process wrote.
type transcript struct {
	mu    sync.Mutex
	lines []string // guarded by mu
	done  chan struct{}
}

func newTranscript() *transcript { return &transcript{done: make(chan struct{})} }

// read takes lines until all who hold the other end are gone.
func (l *transcript) read(r io.ReadCloser) {
	defer close(l.done)
	defer r.Close()
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			l.mu.Lock()
			l.lines = append(l.lines, strings.TrimRight(line, "\n"))
			l.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// settle waits until all has been read; a process that outlives its parent may hold the other end for a moment.
func (l *transcript) settle() {
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	select {
	case <-l.done:
	case <-timer.C:
	}
}

func (l *transcript) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// find returns the first line that holds all of the words, or "".
func (l *transcript) find(words ...string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
next:
	for _, line := range l.lines {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		return line
	}
	return ""
}

// text is all of it.
func (l *transcript) text() string { return strings.Join(l.all(), "\n") }

// run runs a program to its end and returns its exit code and output.
func run(t *testing.T, argv ...string) (code int, output string) {
	t.Helper()
	p := start(t, filepath.Base(argv[0]), nil, argv...)
	code = p.exit()
	return code, p.log.text()
}
