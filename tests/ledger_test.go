//go:build e2e

package tests

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Kinds of records.
const (
	recordAck     = "ack"     // a submitter was told that the task is stored
	recordRun     = "run"     // a handler ran
	recordAnswer  = "answer"  // the coordinator answered an outcome, as it stood on the worker's stream
	recordOutcome = "outcome" // Await told the task's outcome
)

// Verdicts of answers.
const (
	accepted = "accepted"
	fenced   = "fenced"
	gone     = "gone"
)

// record is one entry of the ledger.
type record struct {
	Kind     string
	Task     uint64
	Token    uint64 `json:",omitempty"`
	Worker   string `json:",omitempty"`
	PID      int    `json:",omitempty"`
	Outcome  string `json:",omitempty"` // answer: what was reported; outcome: the state
	Verdict  string `json:",omitempty"` // answer
	Session  uint64 `json:",omitempty"` // answer
	Attempts int    `json:",omitempty"` // outcome
	Finish   int64  `json:",omitempty"` // outcome: Unix nanoseconds
}

// ledger is the ledger's process and its file.
type ledger struct {
	t            *testing.T
	socket, file string
}

// ledgerPart is the process's settings.
type ledgerPart struct{ Socket, File string }

func startLedger(t *testing.T) *ledger {
	t.Helper()
	dir, err := os.MkdirTemp("", "yl") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := &ledger{t: t, socket: filepath.Join(dir, "s"), file: filepath.Join(workDir(t), "ledger")}
	startRole(t, "ledger", "ledger", ledgerPart{l.socket, l.file}).says("ledger listens")
	return l
}

// line connects to it.
func (l *ledger) line() *ledgerLine {
	l.t.Helper()
	line, err := dialLedger(l.socket)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(line.close)
	return line
}

// records reads the file.
func (l *ledger) records() []record {
	l.t.Helper()
	data, err := os.ReadFile(l.file)
	if err != nil {
		l.t.Fatal(err)
	}
	var list []record
	for line := range strings.Lines(string(data)) {
		var r record
		if !strings.HasSuffix(line, "\n") {
			break // being written: not answered yet
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			l.t.Fatalf("the ledger's line %q: %v", line, err)
		}
		list = append(list, r)
	}
	return list
}

// runs returns the runs of a task so far.
func (l *ledger) runs(task uint64) []record {
	l.t.Helper()
	var list []record
	for _, r := range l.records() {
		if r.Kind == recordRun && r.Task == task {
			list = append(list, r)
		}
	}
	return list
}

// ledgerConns is how many records of one process may be on their way to the ledger at a time.
const ledgerConns = 8

// ledgerLine is a process's connections to the ledger. It may be used by any number of goroutines.
type ledgerLine struct {
	free chan *ledgerConn
	all  []*ledgerConn
}

type ledgerConn struct {
	net.Conn
	in *bufio.Reader
}

func dialLedger(socket string) (*ledgerLine, error) {
	l := &ledgerLine{free: make(chan *ledgerConn, ledgerConns)}
	for range ledgerConns {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			l.close()
			return nil, err
		}
		c := &ledgerConn{conn, bufio.NewReader(conn)}
		l.all = append(l.all, c)
		l.free <- c
	}
	return l, nil
}

func (l *ledgerLine) close() {
	for _, c := range l.all {
		c.Close()
	}
}

// record returns once the records are on the disk.
func (l *ledgerLine) record(list ...record) error {
	if len(list) == 0 {
		return nil
	}
	var message []byte
	for _, r := range list {
		data, err := json.Marshal(r)
		if err != nil {
			return err
		}
		message = append(append(message, data...), '\n')
	}
	message = append(message, '\n')
	c := <-l.free
	defer func() { l.free <- c }()
	if _, err := c.Write(message); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	answer, err := c.in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if answer != "ok\n" {
		return errors.New("ledger: " + answer)
	}
	return nil
}

// entry is what one connection wants to have written.
type entry struct {
	text []byte
	done chan error
}

// playLedger is the ledger's process.
func playLedger() int {
	var part ledgerPart
	if err := settings(&part); err != nil {
		fmt.Println(err)
		return 2
	}
	file, err := os.OpenFile(part.File, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	lis, err := net.Listen("unix", part.Socket)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM) // it outlives all others
	fmt.Println("ledger listens")
	entries := make(chan entry, 256)
	go writeLedger(file, entries)
	for {
		conn, err := lis.Accept()
		if err != nil {
			fmt.Println(err)
			return 1
		}
		go serveLedger(conn, entries)
	}
}

// serveLedger reads messages, which end with an empty line, and answers each once it is on the disk.
func serveLedger(conn net.Conn, entries chan<- entry) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	var text []byte
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		if len(line) > 1 {
			text = append(text, line...)
			continue
		}
		e := entry{text, make(chan error, 1)}
		text = nil
		entries <- e
		answer := "ok\n"
		if err := <-e.done; err != nil {
			answer = err.Error() + "\n"
		}
		if _, err := conn.Write([]byte(answer)); err != nil {
			return
		}
	}
}

// writeLedger writes what has come, makes it durable, and only then answers.
func writeLedger(file *os.File, entries <-chan entry) {
	for first := range entries {
		group := []entry{first}
	gather:
		for {
			select {
			case e := <-entries:
				group = append(group, e)
			default:
				break gather
			}
		}
		var text []byte
		for _, e := range group {
			text = append(text, e.text...)
		}
		_, err := file.Write(text)
		err = errors.Join(err, file.Sync())
		for _, e := range group {
			e.done <- err
		}
	}
}
