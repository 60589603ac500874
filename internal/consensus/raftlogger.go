package consensus

import "github.com/hashicorp/go-hclog"

// raftLogger is what raft gets as its logger. Raft says a dozen things at info
// for each start and cut; here they appear only at debug. SetLevel on a named
// hclog logger would change its parent's level too, hence the wrapper.
type raftLogger struct {
	hclog.Logger
}

func newRaftLogger(parent hclog.Logger) raftLogger {
	return raftLogger{parent.Named("raft")}
}

// Raft's messages that are no trouble here.
const (
	// A lone voter has no leader to hear from: each start begins like this.
	msgElection = "heartbeat timeout reached, starting election"
	// Cut returns this very error.
	msgSnapshotFailed = "failed to take snapshot"
)

func (l raftLogger) Info(msg string, args ...any) {
	if l.IsDebug() {
		l.Logger.Info(msg, args...)
	}
}

func (l raftLogger) Warn(msg string, args ...any) {
	if msg == msgElection {
		l.Debug(msg, args...)
		return
	}
	l.Logger.Warn(msg, args...)
}

func (l raftLogger) Error(msg string, args ...any) {
	if msg == msgSnapshotFailed {
		l.Debug(msg, args...)
		return
	}
	l.Logger.Error(msg, args...)
}
