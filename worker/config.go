package worker

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	"github.com/yardmaster/yardmaster/internal/name"
	"github.com/yardmaster/yardmaster/internal/workercore"
)

// Defaults and limits of a Config.
const (
	// CoordinatorDefault is where a coordinator listens unless told otherwise.
	CoordinatorDefault = "127.0.0.1:7420"
	// DefaultPool is the name of the pool that Config.Slots sizes; kinds without another pool run in it.
	DefaultPool = "default"
	// CPUPool is the name of the pool that Config.CPUSlots sizes; handlers with the option CPU run in it.
	CPUPool = "cpu"
	// PrefetchDefaultMax bounds the prefetch of DefaultPool unless Config.Prefetch says otherwise.
	PrefetchDefaultMax = 256
	// PrefetchMax is the most prefetch of one pool.
	PrefetchMax = workercore.PrefetchMax
	// DrainTimeoutDefault is how long a stopping worker lets its handlers run.
	DrainTimeoutDefault = time.Duration(workercore.DrainTimeoutDefault)
	// KillGraceDefault is the time between asking a handler to stop and killing it.
	KillGraceDefault = time.Duration(workercore.KillGraceDefault)
	// SlotsMax is the most slots of one pool, SlotsTotalMax the most slots and prefetch of all together.
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
	// Prefetch is how many leases beyond its slots DefaultPool may be sent ahead, so that a short task finds its successor
	// already here. They are given only while no slot is free at any worker, and are asked back when one is. Default: Slots,
	// at most PrefetchDefaultMax. Negative: none, which is best for long tasks.
	Prefetch int
	// CPUSlots is the slots of the pool CPUPool, which is there if a handler has the option CPU: 1 to SlotsMax. Default:
	// GOMAXPROCS. If Pools has one of that name, that one stands, and CPUSlots must be 0.
	CPUSlots int
	// Pools beside DefaultPool and CPUPool. A handler is put into one by InPool.
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
	Name     string // as a worker's name; not DefaultPool
	Slots    int    // 1 to SlotsMax
	Prefetch int    // as Config.Prefetch, 0 to PrefetchMax; default: none, since who wants a pool has long tasks
}

// Fenced tells of an outcome that was not accepted: another attempt's counts, or the task is gone.
type Fenced struct {
	TaskID, Token uint64
	// Gone: the task doesn't exist any more. Else the lease was no longer the task's current one.
	Gone bool
}

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
	c.Pools = slices.Concat([]Pool{{Name: DefaultPool, Slots: c.Slots}}, c.Pools)
	c.fillPrefetch()
	return c, c.check()
}

// fillPrefetch sets the prefetch of each pool. The default takes no more than the bound of all pools together leaves.
func (c *Config) fillPrefetch() {
	room := SlotsTotalMax
	for i := range c.Pools {
		p := &c.Pools[i]
		p.Prefetch = max(0, p.Prefetch)
		room -= p.Slots + p.Prefetch
	}
	if c.Prefetch == 0 {
		c.Prefetch = min(c.Slots, PrefetchDefaultMax, room)
	}
	c.Pools[0].Prefetch = max(0, c.Prefetch)
}

// addCPUPool adds the pool CPUPool if there is none.
func (c *Config) addCPUPool() error {
	if !slices.ContainsFunc(c.Pools, func(p Pool) bool { return p.Name == CPUPool }) {
		c.appendCPUPool()
	}
	_, err := workercore.New(c.core())
	return err
}

func (c *Config) appendCPUPool() {
	slots := c.CPUSlots
	if slots == 0 {
		slots = runtime.GOMAXPROCS(0)
	}
	c.Pools = append(slices.Clip(c.Pools), Pool{Name: CPUPool, Slots: slots})
}

func (c Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	checkName := func(what, s string) {
		if !name.Valid(s) {
			bad("%s %q: want %s", what, s, name.Rule)
		}
	}
	if slices.Contains(c.Coordinators, "") {
		bad("coordinators: an address is empty")
	}
	checkName("name", c.Name)
	for _, p := range c.Pools {
		checkName("pool", p.Name)
		if p.Name == CPUPool && c.CPUSlots != 0 {
			bad("CPU slots: %d, and there is a pool %q of %d: size it in one place", c.CPUSlots, CPUPool, p.Slots)
		}
	}
	if c.CPUSlots < 0 || c.CPUSlots > SlotsMax {
		bad("CPU slots: %d, want 1 to %d (0: GOMAXPROCS)", c.CPUSlots, SlotsMax)
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
	if c.CPUSlots > 0 && c.CPUSlots <= SlotsMax { // of this copy
		if err := c.addCPUPool(); err != nil {
			bad("%w", err)
		}
	} else if _, err := workercore.New(c.core()); err != nil {
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
		cfg.Pools = append(cfg.Pools, workercore.Pool{Name: p.Name, Slots: p.Slots, Prefetch: p.Prefetch})
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
	if !name.Valid(host) {
		host = ("w" + host)[:min(len(host)+1, 63-len(pid))]
	}
	return host + pid
}
