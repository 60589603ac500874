package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/workercore"
)

// DriftMax is the bound within which workers' clocks may run fast or slow, in millionths: leases are safe below
// margin / TTL, which is a tenth at least.
const DriftMax = 80_000

// Plan is what a seed draws before a world begins: its size, its latencies and the rate of each fault. Rates are in
// millionths of the cases; any of them may be 0.
type Plan struct {
	Workers           []WorkerPlan
	Clients, Watchers int
	Queues            []string
	Kinds             []string // that some worker serves
	Limits            scheduler.Limits
	Backlog           int   // unended tasks from which on clients submit no more
	Losses            int   // that a task survives, at least
	Attempts          int   // that it may have, at most
	Keep              int64 // retention of those that are soon over, at most

	TTL, Margin, KillGrace, DrainTimeout int64

	Fsync, Latency, Read, Copy, Restart Span
	Work                                Span  // how long handlers take
	SlowWork                            int64 // slow ones, at most
	Think                               Span  // between two verbs of a client
	CallTimeout                         int64

	CheckpointEvery int64
	CheckpointRows  int
	TrailingLogs    uint64
	EventRing       int
	MessageLeases   int // in one Grants message, at most
	Window          int // bytes that a sender may have under way on a stream before it blocks

	DiskError, DiskSlow, DelaySpike        int
	SlowHandler, DeafHandler, FailHandler  int
	LostRequest, LostReply                 int
	Poison, Hopeless, Unreadable           int // of tasks
	UseProducer, UseKeys, Delayed, Bounded int
	Heavy, Unkept, Require, Batches        int
	LateCopy, Flood, Retries               int
	Keys                                   int // that clients use
	Large                                  int // of results: two don't go into one message
	Endless                                int // of handlers: they end only if they are asked to
	Meanwhile                              int // what else may happen happens while a session changes, see coincidences

	FaultEvery int64           // time between two faults of those below, about; and
	FaultSteps int64           // steps between two of them, whichever comes first
	Faults     [faultKinds]int // their weights
}

// WorkerPlan is one worker.
type WorkerPlan struct {
	Name    string
	Pools   []workercore.Pool
	Kinds   [][]string // by pool
	Queues  []string
	Labels  []scheduler.Label
	Version uint32
	Drift   int64 // millionths
}

// drawing draws a plan.
type drawing struct{ *rand.Rand }

func (r drawing) between(least, most int64) int64 { return least + r.Int64N(most-least+1) }

// rate draws a rate about typical: in a third of the cases it is 0.
func (r drawing) rate(typical int) int {
	if r.IntN(3) == 0 {
		return 0
	}
	return r.IntN(2*typical + 1)
}

// span draws a range: its upper end may be many times its lower one.
func (r drawing) span(least, most int64) Span {
	a, b := r.between(least, most), r.between(least, most)
	a = r.between(least, a)
	return Span{Least: min(a, b), Most: max(a, b), Skew: r.IntN(4)}
}

// drawPlan draws a plan.
func drawPlan(rng *rand.Rand) Plan {
	r := drawing{rng}
	p := Plan{
		Clients: 1 + r.IntN(3), Watchers: r.IntN(3),
		Limits:  scheduler.Limits{MaxTasks: uint64(r.between(100, 5000)), Depth: uint64(r.between(50, 2000))},
		Backlog: int(r.between(5, 150)), Attempts: 6, Keep: 3 * second,
		TTL: r.between(2, 15) * second, KillGrace: r.between(0, 3) * second, DrainTimeout: r.between(0, 5) * second,

		Fsync: r.span(100*microsecond, 10*millisecond), Latency: r.span(20*microsecond, 50*millisecond),
		Read: r.span(0, 2*millisecond), Copy: r.span(0, 3*millisecond), Restart: r.span(50*millisecond, 5*second),
		Work: r.span(100*microsecond, 300*millisecond), SlowWork: r.between(500, 20_000) * millisecond,
		Think: r.span(millisecond, 300*millisecond), CallTimeout: r.between(500, 10_000) * millisecond,

		CheckpointEvery: r.between(20, 2000) * millisecond, CheckpointRows: int(r.between(10, 1000)),
		TrailingLogs: uint64(r.IntN(20)), EventRing: int(r.between(20, 2000)), MessageLeases: 1 + r.IntN(20),

		DiskError: r.rate(300), DiskSlow: r.rate(3000), DelaySpike: r.rate(3000),
		SlowHandler: r.rate(100_000), DeafHandler: r.rate(200_000), FailHandler: r.rate(150_000),
		LostRequest: r.rate(20_000), LostReply: r.rate(20_000), Poison: r.rate(5_000), Hopeless: r.rate(20_000),
		UseProducer: r.IntN(1_000_000), UseKeys: r.rate(100_000), Delayed: r.rate(100_000), Bounded: r.rate(100_000),
		Heavy: r.rate(100_000), Unkept: r.rate(200_000), Require: r.rate(200_000), Batches: r.rate(300_000),
		LateCopy: r.rate(100_000), Flood: r.rate(3_000), Keys: int(r.between(10, 400)),

		FaultEvery: r.between(50, 3000) * millisecond, FaultSteps: r.between(20, 600),
	}
	p.Window = 64 << 10
	if r.IntN(2) == 0 { // senders have to wait
		p.Window = 1 << r.between(7, 11)
		p.MessageLeases = 1 + r.IntN(4)
	}
	p.Endless, p.Meanwhile, p.Large = r.rate(100_000), r.rate(200_000), r.rate(500_000)
	p.Queues = []string{"default", "bulk", "mail"}[:1+r.IntN(3)]
	p.Kinds = []string{"cpu", "io", "net"}[:1+r.IntN(3)]
	for i := range 1 + r.IntN(5) {
		p.Workers = append(p.Workers, r.worker(i, &p))
	}
	for kind := range scheduledFaults {
		p.Faults[kind] = r.rate(100)
	}
	p.Faults[FaultPartition] *= 3
	if r.IntN(3) == 0 { // the coordinator stays: sessions live long enough for their workers' faults
		p.Faults[FaultCoordinatorCrash], p.Faults[FaultCoordinatorStop], p.Faults[FaultCoordinatorPause] = 0, 0, 0
		p.FaultSteps *= 2
	}
	r.special(&p)
	p.Margin = min(2*second, p.TTL/10)
	return p
}

// special makes some worlds such that more of a kind happens than elsewhere.
func (r drawing) special(p *Plan) {
	if r.IntN(3) == 0 { // long work: handlers run longer than sessions live
		p.Work = r.span(second, 2*p.TTL)
		p.Think = r.span(50*millisecond, second)
		p.Backlog = int(r.between(5, 30))
	}
	if r.IntN(6) == 0 { // tasks that kill their workers, several at a time
		p.Poison, p.Losses, p.TTL = int(r.between(100_000, 400_000)), 4, 2*second
		p.Backlog, p.Think, p.Restart = int(r.between(5, 30)), r.span(50*millisecond, second), r.span(50*millisecond, second)
	}
	if r.IntN(6) == 0 { // a slow disk: much is in flight when something else happens
		p.Fsync, p.DiskSlow = r.span(10*millisecond, 500*millisecond), 30_000
	}
	if r.IntN(6) == 0 { // a bad network: much is under way when a connection breaks
		p.Latency, p.Faults[FaultConnCut], p.FaultSteps = r.span(10*millisecond, 300*millisecond), 1000, min(p.FaultSteps, 60)
		p.CallTimeout += 2 * second
	}
	if r.IntN(6) == 0 { // handlers that nothing stops, and sessions that expire under them
		p.DeafHandler, p.SlowHandler = 500_000, 300_000
		p.Faults[FaultPartition], p.Faults[FaultWorkerPause] = 400, 200
	}
	if r.IntN(6) == 0 { // dead letters that are soon over
		p.Unkept, p.Hopeless, p.UseKeys, p.Retries, p.Attempts = 600_000, 600_000, 300_000, 400_000, 1
		p.Backlog, p.Keep, p.CheckpointEvery = int(r.between(5, 20)), 500*millisecond, 50*millisecond
	}
	if r.IntN(6) == 0 { // many shapes
		p.Require, p.Heavy = 600_000, 400_000
	}
	if r.IntN(12) == 0 { // a fair day
		p.Faults = [faultKinds]int{}
		p.DiskError, p.DiskSlow, p.DelaySpike, p.LostRequest, p.LostReply, p.Poison, p.LateCopy = 0, 0, 0, 0, 0, 0, 0
		p.SlowHandler, p.DeafHandler, p.FailHandler, p.Hopeless = 0, 0, 0, 0
		p.Endless, p.Meanwhile = 0, 0
	} else {
		p.Unreadable = r.rate(5_000)
	}
}

// worker draws one worker. The first serves everything, so that no task waits for ever.
func (r drawing) worker(i int, p *Plan) WorkerPlan {
	k := WorkerPlan{Name: fmt.Sprintf("w%d", i), Version: workercore.VersionRecall}
	if r.IntN(6) == 0 {
		k.Version = 1
	}
	if r.IntN(3) > 0 {
		k.Drift = r.between(-DriftMax, DriftMax)
		if r.IntN(2) == 0 { // as slow as leases allow for
			k.Drift = -DriftMax
		}
	}
	pools := 1 + r.IntN(2)
	kinds := slices.Clone(p.Kinds)
	if i > 0 {
		kinds = kinds[:1+r.IntN(len(kinds))]
		if r.IntN(3) == 0 {
			k.Queues = []string{p.Queues[r.IntN(len(p.Queues))]}
		}
	}
	if i == 0 || r.IntN(3) > 0 {
		k.Labels = workerLabels[len(workerLabels)-1:]
	}
	if i == 0 {
		k.Labels = workerLabels
	}
	for n := range pools {
		pool := workercore.Pool{Name: fmt.Sprintf("p%d", n), Slots: 1 + r.IntN(6)}
		if i == 0 {
			pool.Slots = max(pool.Slots, heavyMost)
		}
		if r.IntN(2) == 0 {
			pool.Prefetch = r.IntN(6)
		}
		k.Pools = append(k.Pools, pool)
		k.Kinds = append(k.Kinds, nil)
	}
	for n, kind := range kinds {
		k.Kinds[n%pools] = append(k.Kinds[n%pools], kind)
	}
	return k
}

// workerLabels are what tasks may require, by key.
var workerLabels = []scheduler.Label{{Key: "arch", Value: "arm"}, {Key: "disk", Value: "fast"}, {Key: "zone", Value: "a"}}

// heavyMost is the most that a task weighs.
const heavyMost = 4
