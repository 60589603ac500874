//go:build e2e

package tests

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	"github.com/yardmaster/yardmaster/worker"
)

// The test binary plays these roles when the variable names one.
const (
	roleVariable  = "E2E_ROLE" // keeper, ledger or worker
	rolesVariable = "E2E_PART" // the role's settings, as JSON
)

func play(role string) int {
	parts := map[string]func() int{"keeper": playKeeper, "ledger": playLedger, "worker": playWorker}
	part, ok := parts[role]
	if !ok {
		fmt.Fprintf(os.Stderr, "no role %q\n", role)
		return 2
	}
	return part()
}

// startRole runs the test binary again.
func startRole(t *testing.T, role, name string, settings any) *process {
	t.Helper()
	part, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, name, []string{roleVariable + "=" + role, rolesVariable + "=" + string(part)}, os.Args[0])
}

func settings(into any) error { return json.Unmarshal([]byte(os.Getenv(rolesVariable)), into) }

// sdkWorker is a worker made with the Go SDK. Each of its kinds writes the run into the ledger first:
//
//	note     works for as long as the payload says, and succeeds
//	gated    succeeds once the gate file is there: the one that the payload names, or the worker's
//	telling  tells its progress, and succeeds once the gate file is there
//	fails    fails the attempts up to the one that the payload names, and succeeds then
//	poison   ends the whole process once the file is there that the payload names
//
// They return "task/token" as their result.
type sdkWorker struct {
	Coordinator, Name, Ledger string
	Slots                     int
	Prefetch                  int // as worker.Config's; the zero here is none
	Gate                      string
	Stubborn                  bool // handlers don't heed the end of their context
	Drain                     time.Duration
}

// start runs the worker in a process of its own.
func (s sdkWorker) start(t *testing.T) *process {
	t.Helper()
	return startRole(t, "worker", s.Name, s)
}

func playWorker() int {
	var s sdkWorker
	if err := settings(&s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	logger := hclog.New(&hclog.LoggerOptions{Name: s.Name, Level: hclog.Debug, Output: os.Stderr})
	book, err := dialLedger(s.Ledger)
	if err != nil {
		logger.Error("no ledger", "error", err)
		return 1
	}
	witness := &witness{book: book, worker: s.Name}
	w, err := worker.New(worker.Config{
		Coordinators: []string{s.Coordinator}, Name: s.Name, Slots: s.Slots, Logger: logger, DrainTimeout: s.Drain,
		Prefetch:    cmp.Or(s.Prefetch, -1),
		DialOptions: []grpc.DialOption{grpc.WithStreamInterceptor(witness.intercept)},
		OnFenced: func(f worker.Fenced) {
			fmt.Fprintf(os.Stderr, "told: task %d token %d was not accepted\n", f.TaskID, f.Token)
		},
	})
	if err != nil {
		logger.Error("settings", "error", err)
		return 2
	}
	w.HandleRaw("note", s.note(book))
	w.HandleRaw("gated", s.gated(book))
	w.HandleRaw("telling", s.telling(book))
	w.HandleRaw("fails", s.fails(book))
	w.HandleRaw("poison", s.poison(book))
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer release()
	if err := w.Run(ctx); err != nil {
		logger.Error("stopped", "error", err)
		return 1
	}
	return 0
}

func result(t *worker.Task) []byte { return fmt.Appendf(nil, "%d/%d", t.ID, t.Token) }

// began writes the run into the ledger, before anything is done for it.
func (s *sdkWorker) began(book *ledgerLine, t *worker.Task) error {
	return book.record(record{Kind: recordRun, Task: t.ID, Token: t.Token, Worker: s.Name, PID: os.Getpid()})
}

func (s *sdkWorker) note(book *ledgerLine) worker.HandlerFunc {
	return func(ctx context.Context, t *worker.Task) ([]byte, error) {
		var work notePayload
		if err := json.Unmarshal(t.Payload, &work); err != nil {
			return nil, worker.Permanent(err)
		}
		if err := s.began(book, t); err != nil {
			return nil, err
		}
		if !pass(ctx, work.Hold) {
			return nil, context.Cause(ctx)
		}
		return result(t), nil
	}
}

// notePayload is the payload of note.
type notePayload struct {
	Hold time.Duration
	Pad  []byte
}

var errNotOpened = errors.New("the gate was not opened")

func (s *sdkWorker) gated(book *ledgerLine) worker.HandlerFunc {
	return func(ctx context.Context, t *worker.Task) ([]byte, error) {
		if err := s.began(book, t); err != nil {
			return nil, err
		}
		watched := ctx
		if s.Stubborn {
			watched = context.WithoutCancel(ctx)
		}
		gate := cmp.Or(string(t.Payload), s.Gate)
		if !holdsWithin(watched, 10*time.Minute, func() bool { return exists(gate) }) {
			if cause := context.Cause(watched); cause != nil {
				return nil, cause
			}
			return nil, errNotOpened
		}
		return result(t), nil
	}
}

const (
	toldPermille = 250
	toldMessage  = "a quarter of it"
)

func (s *sdkWorker) telling(book *ledgerLine) worker.HandlerFunc {
	gated := s.gated(book)
	return func(ctx context.Context, t *worker.Task) ([]byte, error) {
		t.Progress(toldPermille, toldMessage)
		return gated(ctx, t)
	}
}

func (s *sdkWorker) fails(book *ledgerLine) worker.HandlerFunc {
	return func(_ context.Context, t *worker.Task) ([]byte, error) {
		var through int
		if err := json.Unmarshal(t.Payload, &through); err != nil {
			return nil, worker.Permanent(err)
		}
		if err := s.began(book, t); err != nil {
			return nil, err
		}
		if t.Attempt <= through {
			return nil, fmt.Errorf("attempt %d of %d that fail", t.Attempt, through)
		}
		return result(t), nil
	}
}

// poisonCode is the exit code of a worker that poison has ended.
const poisonCode = 66

func (s *sdkWorker) poison(book *ledgerLine) worker.HandlerFunc {
	return func(ctx context.Context, t *worker.Task) ([]byte, error) {
		if err := s.began(book, t); err != nil {
			return nil, err
		}
		if !holdsWithin(ctx, 10*time.Minute, func() bool { return exists(string(t.Payload)) }) {
			return nil, context.Cause(ctx)
		}
		os.Exit(poisonCode)
		return nil, nil
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// open lets gated handlers end.
func open(t testing.TB, gate string) {
	t.Helper()
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
