//go:build unix

package store

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// mix is a coordinator under load: each checkpoint brings the bodies of mixTasks
// new tasks, and the ends of as many older ones, in the order in which workers
// end them.
type mix struct {
	next  scheduler.TaskID // first id of the next checkpoint's tasks
	rng   *rand.Rand
	body  []byte
	ended []byte
}

const (
	mixTasks  = 30_000
	mixBefore = 4 // checkpoints between a task's submit and its end
	mixWindow = 512
)

func newMix() *mix {
	return &mix{next: 1, rng: rand.New(rand.NewPCG(1, 2)), body: make([]byte, 256), ended: make([]byte, 64+60)}
}

// checkpoint returns the next one; rows: with the rows of the tasks.
func (m *mix) checkpoint(rows bool) *Checkpoint {
	cp := &Checkpoint{}
	for i := range scheduler.TaskID(mixTasks) {
		cp.Bodies = append(cp.Bodies, Blob{m.next + i, m.body})
	}
	var images []scheduler.Row
	if rows {
		for i := range scheduler.TaskID(mixTasks) {
			images = append(images, taskRow(uint64(m.next+i)))
		}
	}
	if m.next > mixBefore*mixTasks {
		first := m.next - mixBefore*mixTasks
		for from := scheduler.TaskID(0); from < mixTasks; from += mixWindow {
			n := min(mixWindow, mixTasks-int(from))
			for _, i := range m.rng.Perm(n) {
				id := first + from + scheduler.TaskID(i)
				cp.DropBodies = append(cp.DropBodies, id)
				cp.Finished = append(cp.Finished, FinishedRow{
					ID: id, Gen: 1, Queue: "default", ExpiresAt: scheduler.Day + scheduler.Duration(id)*1000, Data: m.ended,
				})
				if rows {
					images = append(images, deletion(scheduler.TableTasks, uint64(id)))
				}
			}
		}
	}
	m.rng.Shuffle(len(images), func(i, j int) { images[i], images[j] = images[j], images[i] })
	m.next += mixTasks
	cp.Rows = pulling(images)
	return cp
}

// cpuTime is what the process has used of processors, collection of garbage
// included: other than the time on the wall it can be compared on a machine that
// others use too.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSaveMix is what a checkpoint under load costs.
func BenchmarkSaveMix(b *testing.B) {
	for name, rows := range map[string]bool{"blobs": false, "rows": true} {
		b.Run(name, func(b *testing.B) {
			s := benchOpen(b)
			m := newMix()
			for range mixBefore + 2 {
				save(b, s, m.checkpoint(rows))
			}
			total, spent := 0, time.Duration(0)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				cp := m.checkpoint(rows)
				total = len(cp.Bodies) + len(cp.DropBodies) + len(cp.Finished)
				if rows {
					total += 2 * mixTasks
				}
				began := cpuTime(b)
				b.StartTimer()
				save(b, s, cp)
				spent += cpuTime(b) - began
			}
			perRow(b, total)
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N*total), "cpu-ns/row")
		})
	}
}

// BenchmarkSaveFinished is a checkpoint of finished tasks alone, with and without
// their places in the order of finishing.
func BenchmarkSaveFinished(b *testing.B) {
	for name, queue := range map[string]string{"ordered": "default", "unordered": ""} {
		b.Run(name, func(b *testing.B) {
			s := benchOpen(b)
			next := scheduler.TaskID(1)
			spent := time.Duration(0)
			for b.Loop() {
				b.StopTimer()
				rows := benchFinished(next, checkpointRows, scheduler.Day+scheduler.Duration(next))
				for i := range rows {
					rows[i].Queue = queue
				}
				next += checkpointRows
				began := cpuTime(b)
				b.StartTimer()
				save(b, s, &Checkpoint{Finished: rows})
				spent += cpuTime(b) - began
			}
			perRow(b, checkpointRows)
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N*checkpointRows), "cpu-ns/row")
		})
	}
}
