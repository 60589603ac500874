package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	"github.com/yardmaster/yardmaster/client"
	"github.com/yardmaster/yardmaster/internal/version"
)

// Exit codes.
const (
	exitDone      = 0
	exitFailed    = 1
	exitUsage     = 2
	exitTaskDead  = 3
	exitTaskEnded = 4 // cancelled or expired
	exitTimeout   = 5 // of a wait
)

// usageError is bad usage or configuration: nothing was sent.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitError carries an exit code of its own. Its error may be nil: then all has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// report says on stderr what went wrong, once, and returns the exit code.
func (a *app) report(cmd *cobra.Command, err error) int {
	if err == nil {
		return exitDone
	}
	code := exitFailed
	var exit *exitError
	if errors.As(err, &exit) {
		if exit.err == nil {
			return exit.code
		}
		code, err = exit.code, exit.err
	}
	var usage usageError
	if errors.As(err, &usage) || !a.running {
		fmt.Fprintf(a.stderr, "yardctl: %v\nRun '%s --help' for usage.\n", err, cmd.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(a.stderr, "yardctl: %s\n", a.explain(err))
	return code
}

// explain writes an error with what could cure it.
func (a *app) explain(err error) string {
	var partial *client.PartialError
	if errors.As(err, &partial) {
		return a.explainPartial(partial)
	}
	var e *client.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	return a.explainCall(e)
}

func (a *app) explainCall(e *client.Error) string {
	var b strings.Builder
	switch {
	case e.Unreached && e.Code == codes.Unavailable:
		fmt.Fprintf(&b, "%s: cannot reach the coordinator at %s: %s\n  Is it running there? Set --addr or YARD_ADDR.",
			e.Op, strings.Join(a.target, ", "), e.Message)
		return b.String()
	case len(e.Fields) > 0:
		fmt.Fprintf(&b, "%s: refused", e.Op)
		if e.Message != "" {
			b.WriteString(": " + e.Message)
		}
		for _, f := range e.Fields {
			field := f.Field
			if e.Op == "submit 1 task" {
				field = strings.TrimPrefix(field, "tasks[0].")
			}
			fmt.Fprintf(&b, "\n  %s: %s", field, f.Description)
		}
	case e.Code == codes.DeadlineExceeded && a.flags.timeout > 0:
		fmt.Fprintf(&b, "%s: no answer within %v\n  --timeout sets another limit.", e.Op, a.flags.timeout)
	case e.Code == codes.Unimplemented:
		fmt.Fprintf(&b, "%s: the coordinator at %s doesn't know this call: %s\n  Is it older than this yardctl, which is %s? yardctl cluster status tells its version.",
			e.Op, strings.Join(a.target, ", "), e.Message, version.String())
	case e.Code == codes.Canceled:
		fmt.Fprintf(&b, "%s: interrupted", e.Op)
	default:
		own := *e
		if e.Op == "submit 1 task" { // which of how many needs no saying
			own.Message = strings.TrimPrefix(strings.TrimPrefix(own.Message, "tasks[0]: "), "tasks[0].")
		}
		b.WriteString(own.Error())
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, "\n  Try again in %v.", e.RetryAfter.Round(100*time.Millisecond))
	}
	if e.OutcomeUnknown {
		b.WriteString("\n  Submitting again can store twice what has no --key.")
	}
	return b.String()
}

func (a *app) explainPartial(e *client.PartialError) string {
	var b strings.Builder
	if e.Stored > 0 {
		fmt.Fprintf(&b, "%s stored, then: ", plural(e.Stored, "task is", "tasks are"))
	}
	b.WriteString(a.explain(e.Err))
	if call := (*client.Error)(nil); e.Stored == 0 && len(e.Unknown) == 0 && !errors.As(e.Err, &call) {
		b.WriteString("\n  Nothing was submitted.")
	}
	for _, span := range e.Unknown {
		if e.Stored == 0 && span.To-span.From == 1 {
			continue // the one task, and said already
		}
		fmt.Fprintf(&b, "\n  Tasks %d to %d (counted from 1) may or may not be stored.", span.From+1, span.To)
	}
	return b.String()
}
