package worker

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	"github.com/yardmaster/yardmaster/internal/workercore"
)

// Defaults and limits of a Config.
const (
	// CoordinatorDefault is where a coordinator listens unless told otherwise.
	CoordinatorDefault = "127.0.0.1:7420"
	// DefaultPool is the name of the pool that Config.Slots sizes; kinds without another pool run in it.
	DefaultPool = "default"
	// DrainTimeoutDefault is how long a stopping worker lets its handlers run.
	DrainTimeoutDefault = time.Duration(workercore.DrainTimeoutDefault)
	// KillGraceDefault is the time between asking a handler to stop and killing it.
	KillGraceDefault = time.Duration(workercore.KillGraceDefault)
	// SlotsMax is the most slots of one pool, SlotsTotalMax of all together.
	SlotsMax      = workercore.SlotsMax
	SlotsTotalMax = workercore.SlotsTotalMax
	// LabelsMax is the most labels, LabelValueMax the most bytes of a label's value.
	LabelsMax     = 32
	LabelValueMax = 128
	// KindsMax is the most kinds, and the most queues.
	KindsMax = 1000
)

// Config of a Worker. The zero value is a worker for a coordinator on this machine.
type Config struct {
	// Coordinators are the addresses (host:port) of the coordinators. Each attempt to connect takes the next one, so that
	// the one that leads is found. Default: CoordinatorDefault.
	Coordinators []string
	// Name of the worker, unique in the cluster: [a-z0-9][a-z0-9._-]{0,62}. Default: hostname-pid.
	Name string
	// Slots of the pool DefaultPool: the weights of tasks that run at a time. 1 to SlotsMax. Default: GOMAXPROCS.
	Slots int
	// Pools beside DefaultPool. A handler is put into one by InPool; CPU-bound kinds deserve their own.
	Pools []Pool
	// Queues that it serves, at most KindsMax. Default: all.
	Queues []string
	// Labels that tasks may require. At most LabelsMax.
	Labels map[string]string
	// DrainTimeout is how long handlers may go on once the worker stops. Default: DrainTimeoutDefault. Negative: no time.
	DrainTimeout time.Duration
	// KillGrace is the time between asking a handler to stop and killing it. Default: KillGraceDefault. Negative: none.
	KillGrace time.Duration
	// Logger gets what happens to the worker; not a line for each task. Default: no log.
	Logger hclog.Logger
	// DialOptions are added to the worker's own. It connects without encryption unless they bring credentials.
	DialOptions []grpc.DialOption
	// OnFenced is called for every outcome that the coordinator did not accept, beside a line in the log. It is called by
	// the goroutine that drives the worker, and must return soon.
	OnFenced func(Fenced)
}

// Pool is a further pool of slots.
type Pool struct {
	Name  string // as a worker's name; not DefaultPool
	Slots int    // 1 to SlotsMax
}

// Fenced tells of an outcome that was not accepted: another attempt's counts, or the task is gone.
type Fenced struct {
	TaskID, Token uint64
	// Gone: the task doesn't exist any more. Else the lease was no longer the task's current one.
	Gone bool
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// filled returns c with its defaults, or what is wrong with it, all of it.
func (c Config) filled() (Config, error) {
	if len(c.Coordinators) == 0 {
		c.Coordinators = []string{CoordinatorDefault}
	}
	if c.Name == "" {
		c.Name = defaultName()
	}
	if c.Slots == 0 {
		c.Slots = runtime.GOMAXPROCS(0)
	}
	c.DrainTimeout = spanOr(c.DrainTimeout, DrainTimeoutDefault)
	c.KillGrace = spanOr(c.KillGrace, KillGraceDefault)
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	c.Pools = slices.Concat([]Pool{{DefaultPool, c.Slots}}, c.Pools)
	return c, c.check()
}

func (c Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	checkName := func(what, name string) {
		if !nameForm.MatchString(name) {
			bad("%s %q: want %s", what, name, nameForm)
		}
	}
	if slices.Contains(c.Coordinators, "") {
		bad("coordinators: an address is empty")
	}
	checkName("name", c.Name)
	for _, p := range c.Pools {
		checkName("pool", p.Name)
	}
	if len(c.Queues) > KindsMax {
		bad("queues: %d, the most is %d", len(c.Queues), KindsMax)
	}
	for _, q := range c.Queues {
		checkName("queue", q)
	}
	if len(c.Labels) > LabelsMax {
		bad("labels: %d, the most is %d", len(c.Labels), LabelsMax)
	}
	for key, value := range c.Labels {
		checkName("label", key)
		if len(value) > LabelValueMax || !utf8.ValidString(value) {
			bad("label %s: its value has %d bytes; at most %d, of UTF-8", key, len(value), LabelValueMax)
		}
	}
	if _, err := workercore.New(c.core()); err != nil {
		bad("%w", err)
	}
	if len(errs) > 0 {
		return fmt.Errorf("worker config: %w", errors.Join(errs...))
	}
	return nil
}

// core is what workercore needs of a filled Config.
func (c Config) core() workercore.Config {
	cfg := workercore.Config{
		DrainTimeout: workercore.Duration(c.DrainTimeout),
		KillGrace:    workercore.Duration(c.KillGrace),
	}
	for _, p := range c.Pools {
		cfg.Pools = append(cfg.Pools, workercore.Pool{Name: p.Name, Slots: p.Slots})
	}
	return cfg
}

func spanOr(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return max(d, 0)
}

// defaultName is hostname-pid, with what a name can't hold replaced.
func defaultName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "worker"
	}
	pid := fmt.Sprintf("-%d", os.Getpid())
	host = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, host)
	host = host[:min(len(host), 63-len(pid))]
	if !nameForm.MatchString(host) {
		host = ("w" + host)[:min(len(host)+1, 63-len(pid))]
	}
	return host + pid
}
