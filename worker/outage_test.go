package worker

import (
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/yardmaster/yardmaster/internal/workercore"
)

// TestOutageReminders: an outage of a day is told a few times, however often the worker tries.
func TestOutageReminders(t *testing.T) {
	var o outage
	tell := func(until time.Duration) (told []time.Duration) {
		for at := time.Duration(0); at < until; at += 100 * time.Millisecond {
			if o.due(workercore.Time(at)) {
				told = append(told, at)
			}
		}
		return told
	}
	const m = time.Minute
	want := []time.Duration{0, m, 3 * m, 7 * m, 15 * m, 31 * m, 63 * m, 123 * m, 183 * m}
	if got := tell(4 * time.Hour); !slices.Equal(got, want) {
		t.Errorf("told at %v, want %v", got, want)
	}
	o = outage{}
	if got := tell(2 * m); !slices.Equal(got, want[:2]) {
		t.Errorf("the next outage is told at %v, want %v", got, want[:2])
	}
}

func TestPlainErrors(t *testing.T) {
	refused := status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`)
	for want, err := range map[string]error{
		"dial tcp 127.0.0.1:1: connect: connection refused": refused,
		"not the leader": status.Error(codes.Unavailable, "not the leader"),
		"EOF":            errors.New("EOF"),
	} {
		if got := (plainly{err}).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if status.Code(errors.Unwrap(plainly{refused})) != codes.Unavailable {
		t.Error("the status is lost")
	}
}
