package execrun

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Defaults and limits of a Spec.
const (
	// StdoutMaxDefault is how much of stdout is kept, in bytes.
	StdoutMaxDefault = 1 << 20
	// StderrTailDefault is how much of stderr's end is kept, in bytes.
	StderrTailDefault = 16 << 10
	// KillGraceDefault is the time between SIGTERM and SIGKILL.
	KillGraceDefault = 5 * time.Second
	// ArgvEnvMax bounds argv, environment and directory together, in bytes
	// with 8 more for each string: what Linux takes with its default stack.
	ArgvEnvMax = 2 << 20
	// EndWait is how long a task's processes have to die of SIGKILL before
	// they are given up as stragglers.
	EndWait = 5 * time.Second
	// ProgressFD is the descriptor on which a task reports progress.
	ProgressFD = 3
	// ProgressVariable tells the task of ProgressFD.
	ProgressVariable = "YARD_PROGRESS_FD"
	// ProgressLineMax bounds a line of progress, in bytes.
	ProgressLineMax = 1 << 10
	// ProgressPause is the time between two reads of progress.
	ProgressPause = 100 * time.Millisecond
	// pathDefault is searched if the task's environment has no PATH.
	pathDefault = "/usr/local/bin:/usr/bin:/bin"
	// markerName is the variable by which a task's processes are recognised.
	markerName = "YARD_EXEC_ID"
)

var (
	// ErrKillNow as the cause of Run's context means SIGKILL without grace:
	// the lease is no longer trusted.
	ErrKillNow = errors.New("execrun: kill without grace")
	// ErrClosed is returned by Run after Close, and by the Runs that Close ended.
	ErrClosed = errors.New("execrun: runner is closed")
	// ErrHelperDied is returned by the Runs whose helper process ended under
	// them. Their processes have been killed.
	ErrHelperDied = errors.New("execrun: helper process died")
	// ErrUnended is returned when a task's first process outlived SIGKILL by
	// EndWait (it sleeps uninterruptibly, or may not be signalled).
	ErrUnended = errors.New("execrun: task outlives SIGKILL")
	// ErrUnsupported is returned by Run on any system but Linux.
	ErrUnsupported = errors.New("execrun: exec handlers need Linux")
)

// Options of a Runner.
type Options struct {
	// Logger gets the helper's starts and deaths. Default: none.
	Logger hclog.Logger
	// OwnsChildren says that this process starts children through this Runner
	// alone. Then every other child is somebody's orphan: it is reaped when
	// it dies (a worker that is PID 1 needs this), and killed when the helper
	// has died. Without it only processes known to be a task's are touched, so
	// that no other os/exec Wait is robbed of its child.
	OwnsChildren bool
}

// Spec says what to run.
type Spec struct {
	// Argv is executed as it is, without a shell. Argv[0] without a slash is
	// searched in the absolute directories of Env's PATH
	// (/usr/local/bin:/usr/bin:/bin if Env has none).
	Argv []string
	// Dir is the working directory. Default: the worker's when the helper started.
	Dir string
	// Env is the whole environment, as KEY=VALUE; YARD_EXEC_ID is added, and
	// ProgressVariable if Progress is set.
	Env []string
	// Stdin is written to the task's stdin, which is then closed. A task
	// need not read it.
	Stdin []byte
	// StdoutMax is how many bytes of stdout are kept, from its beginning. The
	// rest is read and dropped. Default StdoutMaxDefault; negative keeps none.
	StdoutMax int
	// StderrTail is how many bytes of stderr are kept, from its end. Default
	// StderrTailDefault; negative keeps none.
	StderrTail int
	// KillGrace is the time from SIGTERM to SIGKILL once the context has
	// ended. Default KillGraceDefault; negative means SIGKILL at once.
	KillGrace time.Duration
	// KillNow, when closed, means SIGKILL at once, also during the grace.
	// Optional; it is there because a context's cause can't change any more.
	KillNow <-chan struct{}
	// Progress, if set, gives the task a descriptor ProgressFD, and is called
	// for each line that it writes there: without its end, not empty, valid
	// during the call. Of a line longer than ProgressLineMax it gets the first
	// ProgressLineMax + 1 bytes. The calls come one after the other, the last
	// before Run returns. At most 32 KiB are read each ProgressPause: a task
	// that writes more waits in its write.
	Progress func(line []byte)
}

// Result says how a task ended. Run fills it as far as it got even beside an error.
type Result struct {
	Stdout          []byte
	StdoutTruncated bool  // more than StdoutMax was written
	StdoutSize      int64 // bytes written, kept or not
	StderrTail      []byte
	StderrSize      int64
	// ExitCode is -1 if a signal ended the task or its end wasn't seen.
	ExitCode int
	// Signal that ended the task, as "SIGKILL"; otherwise empty.
	Signal string
	// Stopped: the task was sent SIGTERM or SIGKILL by Run before it ended.
	Stopped bool
	// Killed: the task was sent SIGKILL by Run before it ended.
	Killed bool
	// OutputCut: a process still held stdout or stderr a second after the
	// task's end, so reading was broken off. Only stragglers can.
	OutputCut bool
	// Stragglers is the number of processes that SIGKILL had not ended within
	// EndWait; -1 if /proc could not be read.
	Stragglers int
}

// StartError says why a task could not be executed. errors.Is finds the
// system's error (fs.ErrNotExist, fs.ErrPermission) in it.
type StartError struct {
	Argv0 string // as given
	Dir   string // not empty if the directory was at fault
	Err   error
}

func (e *StartError) Error() string {
	if e.Dir != "" {
		return fmt.Sprintf("exec %q: change to directory %q: %v", e.Argv0, e.Dir, e.Err)
	}
	return fmt.Sprintf("exec %q: %v", e.Argv0, e.Err)
}

func (e *StartError) Unwrap() error { return e.Err }

// filled returns s with its defaults, or says what is wrong with it.
func (s Spec) filled() (Spec, error) {
	if len(s.Argv) == 0 || s.Argv[0] == "" {
		return s, errors.New("execrun: argv is empty")
	}
	size := len(s.Dir)
	for _, list := range [][]string{s.Argv, s.Env} {
		for _, str := range list {
			size += len(str) + 8
			if strings.IndexByte(str, 0) >= 0 {
				return s, fmt.Errorf("exec %q: argv or env contains a zero byte", s.Argv[0])
			}
		}
	}
	if size > ArgvEnvMax {
		return s, fmt.Errorf("exec %q: argv and env take %d bytes, the limit is %d: pass large data on stdin", s.Argv[0], size, ArgvEnvMax)
	}
	s.StdoutMax = orDefault(s.StdoutMax, StdoutMaxDefault)
	s.StderrTail = orDefault(s.StderrTail, StderrTailDefault)
	s.KillGrace = orDefault(s.KillGrace, KillGraceDefault)
	return s, nil
}

// orDefault maps 0 to the default and negative values to 0.
func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return max(v, 0)
}

// grace returns how long a task has between SIGTERM and SIGKILL now that ctx
// has ended.
func (s Spec) grace(ctx context.Context) time.Duration {
	if errors.Is(context.Cause(ctx), ErrKillNow) {
		return 0
	}
	return s.KillGrace
}
