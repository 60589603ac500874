package shutdown_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yardmaster/yardmaster/internal/shutdown"
)

func TestExitCodeAndErr(t *testing.T) {
	boom := errors.New("boom")
	straggler := shutdown.Straggler{Phase: "p", Task: "t", Age: time.Second}
	returned := straggler
	returned.Returned, returned.Err = true, boom
	tests := map[string]struct {
		result shutdown.Result
		code   int
		text   string
	}{
		"clean":              {shutdown.Result{Reason: "asked"}, 0, ""},
		"cause":              {shutdown.Result{Cause: boom}, 1, "boom"},
		"error":              {shutdown.Result{Errors: []error{boom}, ErrorsDropped: 2}, 1, "boom\n2 more errors"},
		"straggler":          {shutdown.Result{Stragglers: []shutdown.Straggler{straggler}}, 6, "phase p: task t: shutdown aborted the task after 1s, and it ignores that"},
		"straggler's error":  {shutdown.Result{Stragglers: []shutdown.Straggler{returned}}, 6, "phase p: task t: shutdown aborted the task after 1s: boom"},
		"cut":                {shutdown.Result{Cut: shutdown.ErrAborted}, 6, "shutdown aborted the task"},
		"skipped":            {shutdown.Result{Skipped: []string{"p/close"}}, 6, "stop function p/close was skipped"},
		"failure outweighs":  {shutdown.Result{Cause: boom, Stragglers: []shutdown.Straggler{returned}}, 1, "boom\nphase p: task t: shutdown aborted the task after 1s: boom"},
		"error while forced": {shutdown.Result{Cut: shutdown.ErrAborted, Errors: []error{boom}}, 1, "boom\nshutdown aborted the task"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			wantCode(t, test.result, test.code)
			text := ""
			if err := test.result.Err(); err != nil {
				text = err.Error()
			}
			if text != test.text {
				t.Errorf("Err:\n got %q\nwant %q", text, test.text)
			}
		})
	}
}

// An error that comes too late for the Result is logged, not lost.
func TestErrorAfterTheEndIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBook
		release := make(chan struct{})
		s := newSequence(shutdown.Options{Logger: log.logger()})
		mustGo(t, s.AddPhase("only", time.Second).Go("deaf", func(context.Context) error {
			<-release
			return errors.New("too late")
		}))
		before := s.Stop(t.Context())
		close(release)
		synctest.Wait()
		if text := log.buf.String(); !strings.Contains(text, "task failed after the stop") || !strings.Contains(text, "too late") {
			t.Errorf("log tells nothing of it:\n%s", text)
		}
		if after := s.Wait().Stragglers[0]; after != before.Stragglers[0] {
			t.Errorf("the Result changed from %+v to %+v", before.Stragglers[0], after)
		}
	})
}
