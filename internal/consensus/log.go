package consensus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// keyCurrentTerm is raft's name for its term in a stable store.
var keyCurrentTerm = []byte("CurrentTerm")

// Log is one node's end of the replicated log. Its methods may be called from
// any goroutine, except from within Machine.Apply and Options.Fatal.
type Log struct {
	options Options
	logger  hclog.Logger
	fault   *fault

	segments  *wal.WAL
	logs      *guardedLog
	votes     *termStore
	snapshots *snapshots
	fsm       *fsm
	raft      *raft.Raft
	stopRaft  func() raft.Future // once; raft answers only the first Shutdown

	// gate lets Close wait for Propose calls under way.
	gate    sync.RWMutex
	closing bool // under gate

	// Proposals in flight: a slot each, and in pending until settle has
	// answered it.
	slots         chan struct{}
	pending       chan *proposal
	inFlightBytes atomic.Int64
	settled       chan struct{} // closed when settle has answered the last one

	terms    chan Term     // sent to and closed by watchTerms only
	stop     chan struct{} // tells watchTerms to end
	termsEnd chan struct{} // closed when it has

	cutting chan struct{} // holds one token while a Cut is under way
	ctx     context.Context
	cancel  context.CancelFunc // ends a Cut

	closeOnce sync.Once
	closeErr  error
	closed    chan struct{} // closed when Close has done what it could
}

// Open opens the log in Options.Dir, or makes a new one that consists of this
// node alone, and starts raft. It returns ErrInUse or ErrMismatch, or what the
// disk said. It doesn't wait for an election: see Terms.
func Open(options Options) (*Log, error) {
	o, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{
		options:  o,
		logger:   o.Logger,
		fault:    newFault(o.Fatal),
		slots:    make(chan struct{}, InFlightMax),
		pending:  make(chan *proposal, InFlightMax),
		settled:  make(chan struct{}),
		terms:    make(chan Term, 1),
		stop:     make(chan struct{}),
		termsEnd: make(chan struct{}),
		cutting:  make(chan struct{}, 1),
		closed:   make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if err := l.openStores(); err != nil {
		return nil, errors.Join(err, l.closeStores())
	}
	if err := l.start(); err != nil {
		return nil, errors.Join(err, l.closeStores())
	}
	go l.settle()
	go l.watchTerms()
	return l, nil
}

// openStores opens what is on disk and checks that it belongs together.
func (l *Log) openStores() (err error) {
	if err := makeDirs(walDir(l.options.Dir)); err != nil {
		return fmt.Errorf("make the log directory: %w", err)
	}
	// First, for its lock: raft-wal would wait for its own without end.
	if l.votes, err = openTermStore(l.options.Dir, l.options.hooks.lockWait, l.fault); err != nil {
		return err
	}
	if l.segments, err = openWAL(l.options, l.fault); err != nil {
		return err
	}
	l.logs = newGuardedLog(l.options.hooks.logs(l.segments), l.fault, l.options)
	if l.snapshots, err = openSnapshots(l.options.Disk, l.options.Dir); err != nil {
		return err
	}
	return nil
}

// start bootstraps a new log once, then starts raft.
func (l *Log) start() error {
	p, err := findPosition(l.options.Dir, l.logs, l.votes, l.snapshots, l.options.Disk)
	if err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	config := l.options.raftConfig()
	// No port is opened: a lone voter has nobody to talk to.
	address, transport := raft.NewInmemTransport(raft.ServerAddress(l.options.NodeID))
	if p.empty() {
		if err := l.bootstrap(config, transport, address); err != nil {
			return fmt.Errorf("bootstrap: %w", err)
		}
	}
	// After a bootstrap, which wants term 0; if a kill comes between, the next start does it.
	if p.disk == 0 && p.term < l.options.TermMin {
		if err := l.votes.SetUint64(keyCurrentTerm, l.options.TermMin); err != nil {
			return fmt.Errorf("begin after term %d: %w", l.options.TermMin, err)
		}
	}

	l.fsm = newFSM(l.options.Machine, l.options.Disk, l.options.Dir, l.fault)
	if l.raft, err = l.newRaft(config, transport); err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	l.stopRaft = sync.OnceValue(l.raft.Shutdown)
	stop := func() { l.stopRaft() }
	l.fault.stop.Store(&stop)

	if err := errors.Join(l.fault.err(), l.checkMember()); err != nil {
		return errors.Join(err, l.stopRaft().Error())
	}
	l.logger.Debug("log opened", "dir", l.options.Dir, "first-index", p.first, "last-index", p.last,
		"snapshot-index", p.snapshot.Index, "disk-index", p.disk, "term", p.term)
	return nil
}

// newRaft starts raft, which reads the log first, and panics over an entry that
// it can't read.
func (l *Log) newRaft(config *raft.Config, transport raft.Transport) (_ *raft.Raft, err error) {
	defer func() {
		if p := recover(); p != nil {
			damaged, ok := p.(error)
			if !ok || !errors.Is(damaged, ErrDamaged) {
				panic(p)
			}
			err = damaged
		}
	}()
	return raft.NewRaft(config, l.fsm, l.logs, l.votes, l.snapshots, transport)
}

func (l *Log) bootstrap(config *raft.Config, transport raft.Transport, address raft.ServerAddress) error {
	// A bootstrap that was cut short may have left term 1, which would make
	// raft refuse the next one.
	if err := l.votes.SetUint64(keyCurrentTerm, 0); err != nil {
		return err
	}
	l.logger.Info("new log", "dir", l.options.Dir, "node", l.options.NodeID)
	return raft.BootstrapCluster(config, l.logs, l.votes, l.snapshots, transport, raft.Configuration{
		Servers: []raft.Server{{Suffrage: raft.Voter, ID: config.LocalID, Address: address}},
	})
}

// checkMember refuses a node that the log doesn't know: it would wait for an
// election for ever, without a word.
func (l *Log) checkMember() error {
	future := l.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return fmt.Errorf("read raft's configuration: %w", err)
	}
	var ids []raft.ServerID
	for _, server := range future.Configuration().Servers {
		if server.ID == raft.ServerID(l.options.NodeID) {
			return nil
		}
		ids = append(ids, server.ID)
	}
	return fmt.Errorf("%w: this node is called %q, but the log in %s belongs to %q: start it under that name",
		ErrMismatch, l.options.NodeID, l.options.Dir, ids)
}

// Close refuses further proposals, waits until those in flight are answered,
// ends a Cut, stops raft and closes the files. It blocks for at most about
// CloseWaitMax, then returns ErrCloseTimeout. Calling it again returns the same.
func (l *Log) Close() error {
	l.closeOnce.Do(func() {
		l.closeErr = l.shutdown()
		close(l.closed)
	})
	return l.closeErr
}

func (l *Log) shutdown() error {
	l.gate.Lock()
	l.closing = true
	close(l.pending)
	l.gate.Unlock()
	l.cancel()

	deadline := time.NewTimer(CloseWaitMax)
	defer deadline.Stop()
	// Raft forgets queued proposals when it stops, so they come first.
	select {
	case <-l.settled:
	case <-l.fault.dead:
	case <-deadline.C:
		return fmt.Errorf("%w: proposals are still unanswered after %v", ErrCloseTimeout, CloseWaitMax)
	}
	stopped := make(chan struct{})
	go func() {
		_ = l.stopRaft().Error() // waits; never an error
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-deadline.C:
		return fmt.Errorf("%w: raft has not stopped after %v", ErrCloseTimeout, CloseWaitMax)
	}
	close(l.stop)
	<-l.termsEnd
	return l.closeStores()
}

func (l *Log) closeStores() error {
	l.cancel()
	var errs []error
	if l.segments != nil {
		if err := l.segments.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close the log: %w", err))
		}
	}
	if l.votes != nil {
		if err := l.votes.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close raft's state: %w", err))
		}
	}
	return errors.Join(errs...)
}

// makeDirs makes a directory and those above it, and fsyncs the parent of each
// it made.
func makeDirs(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if err := makeDirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncPath(parent)
}
