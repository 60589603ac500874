//go:build e2e && crash

package tests

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/yardmaster/yardmaster/client"
)

const (
	crashKillsDefault = 10
	crashKillsRound   = 50                     // of the coordinator, of one data directory, and as many of workers
	crashPauseMax     = 150 * time.Millisecond // between the recovery from one kill and the next
	crashStartMax     = 250 * time.Millisecond // of a start that is killed in its midst: it serves after 100 ms or more
	crashMomentMax    = 2 * time.Millisecond   // after the first sign of a checkpoint or a rotation
	crashSignMax      = 3 * time.Second        // for such a sign: a checkpoint comes once a second
)

// Moments at which the coordinator is killed, in turn. Most kills are plain ones.
const (
	momentAny        = "at any moment, with answers held back"
	momentCheckpoint = "in a checkpoint"
	momentRotation   = "in a rotation of the log"
	momentDouble     = "and again while it recovered"
	momentStopped    = "after a SIGSTOP beyond the TTL"
	momentContinued  = "SIGSTOP beyond the TTL, without a kill"
)

// killTotals are the figures of all rounds.
type killTotals struct {
	moments                      map[string]int
	coordinators, early, workers int // early: of the coordinator before it served
	stalls, healed               int // of workers; starts that repaired the log
	acked, lost, double, refused int
	problems                     int
	serving, first, worker       []time.Duration
}

// crashKilling is one round.
type crashKilling struct {
	*killing
	total *killTotals
}

// TestCrashKills is the kill test with kills at the worst moments: in the midst of a checkpoint, of a rotation, of a start;
// and with SIGSTOPs beyond the TTL, of workers and of the coordinator. It goes in rounds, each with data of its own, so that
// what the judge compares in the end stays small.
func TestCrashKills(t *testing.T) {
	kills := int(setting(t, "YARD_CRASH_KILLS", crashKillsDefault))
	seed := setting(t, "YARD_SEED", uint64(time.Now().UnixNano()))
	began := time.Now()
	total := &killTotals{moments: map[string]int{}}
	for round := 0; total.coordinators < kills && !t.Failed(); round++ {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			k := &crashKilling{startKilling(t, seed+uint64(round)), total}
			k.round(min(crashKillsRound, kills-total.coordinators))
		})
	}
	slices.Sort(total.serving)
	slices.Sort(total.first)
	slices.Sort(total.worker)
	fmt.Printf("crash lab, kills: %d of the coordinator (%d before it served), %d of workers, %d workers stopped beyond the TTL; "+
		"%d tasks acknowledged, %d lost, %d double valid outcomes, %d late outcomes refused, %d problems; "+
		"coordinator serves after median %s, worst %s, first task done after median %s, worst %s; worker back at work after median %s, worst %s; "+
		"%s; seed %d\n", total.coordinators, total.early, total.workers, total.stalls,
		total.acked, total.lost, total.double, total.refused, total.problems,
		quantile(total.serving, 50), quantile(total.serving, 100), quantile(total.first, 50), quantile(total.first, 100),
		quantile(total.worker, 50), quantile(total.worker, 100), time.Since(began).Round(time.Second), seed)
	for _, m := range sorted(total.moments) {
		t.Logf("  %4d %s", total.moments[m], m)
	}
	t.Logf("  %4d starts repaired the log's list of segments", total.healed)
}

// round makes so many kills of the coordinator and as many of workers, and judges.
func (k *crashKilling) round(kills int) {
	t := k.t
	t.Helper()
	moments := []string{momentCheckpoint, momentAny, momentDouble, momentRotation, momentAny}
	for i, done := 0, 0; done < kills; i++ {
		pass(t.Context(), time.Duration(k.rng.Int64N(int64(crashPauseMax))))
		if i%stallEvery == 0 {
			k.stall(k.names[k.rng.IntN(2)])
			k.total.stalls++
		}
		moment := moments[i%len(moments)]
		if i%20 == 7 {
			moment = momentStopped
		} else if i%20 == 17 {
			moment = momentContinued
		}
		done += k.killCoordinator(moment, kills-done)
		k.killWorker(k.names[k.rng.IntN(len(k.names))])
	}
	for k.total.workers < k.total.coordinators {
		k.killWorker(k.names[k.rng.IntN(len(k.names))])
	}
	v, _, _ := k.end()
	k.total.stalls++
	k.total.acked += v.acked
	k.total.refused += v.fenced
	k.total.problems += len(v.problems)
	for _, p := range v.problems {
		if strings.Contains(p, "is lost") {
			k.total.lost++
		}
		if strings.Contains(p, "were accepted") {
			k.total.double++
		}
	}
}

func (k *crashKilling) killWorker(name string) {
	k.t.Helper()
	k.killOne(name)
	k.total.workers++
	k.total.worker = append(k.total.worker, k.kills[len(k.kills)-1].first)
}

// killCoordinator kills it at a moment, and returns how many kills that were, at most so many.
func (k *crashKilling) killCoordinator(moment string, most int) int {
	k.t.Helper()
	k.total.moments[moment]++
	f := &fallen{name: coordinatorName, pid: k.c.proc.pid()}
	k.kills = append(k.kills, f)
	switch moment {
	case momentCheckpoint:
		k.sign(filepath.Join(k.c.data, "yardmaster.db"), unix.IN_MODIFY)
	case momentRotation:
		wal := filepath.Join(k.c.data, "raft", "wal")
		if k.rng.IntN(2) == 0 {
			k.sign(wal, unix.IN_CREATE)
		} else {
			k.sign(filepath.Join(wal, "wal-meta.db"), unix.IN_MODIFY)
		}
	case momentStopped, momentContinued:
		k.c.proc.signal(syscall.SIGSTOP)
		pass(k.t.Context(), stallLength)
	default:
		k.front.hold(down)
		pass(k.t.Context(), unansweredFor)
	}
	f.at = time.Now()
	if moment == momentContinued {
		k.goesOn(f)
		return 0
	}
	k.c.proc.kill()
	kills := 1
	for moment == momentDouble && kills < most && kills < 3 {
		k.c.launch()
		pass(k.t.Context(), time.Duration(k.rng.Int64N(int64(crashStartMax))))
		if !k.c.proc.alive() {
			k.t.Fatalf("a start after a kill ended by itself with code %d", k.c.proc.exit())
		}
		if !k.c.serves() {
			k.total.early++
		}
		k.c.proc.kill()
		f.at = time.Now()
		kills++
	}
	k.revive(f)
	if k.c.proc.log.find("is sealed and recorded as open: repairing") != "" {
		k.total.healed++
	}
	k.total.coordinators += kills
	k.total.serving, k.total.first = append(k.total.serving, f.serving), append(k.total.first, f.first)
	return kills
}

// goesOn lets a stopped coordinator go on, and waits until work is done again.
func (k *crashKilling) goesOn(f *fallen) {
	k.t.Helper()
	watch := k.load.watch(func(out *client.Outcome) bool { return out.FinishTime.After(f.at) })
	k.c.proc.signal(syscall.SIGCONT)
	received(k.t, "the first task after a stop of the coordinator", watch)
}

// sign waits until a file or what is in a directory is changed, and a moment more.
func (k *crashKilling) sign(path string, mask uint32) {
	k.t.Helper()
	if err := waitChange(path, mask, crashSignMax); err != nil {
		k.t.Fatalf("wait for a change of %s: %v", path, err)
	}
	for until := time.Now().Add(time.Duration(k.rng.Int64N(int64(crashMomentMax)))); time.Now().Before(until); {
		// too short for a timer
	}
}

// waitChange waits for an inotify event.
func waitChange(path string, mask uint32, most time.Duration) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("inotify_init1", err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, path, mask); err != nil {
		return os.NewSyscallError("inotify_add_watch", err)
	}
	for deadline := time.Now().Add(most); ; {
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
		if n > 0 {
			return nil
		}
	}
}
