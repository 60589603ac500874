package engine

import (
	"testing"
	"testing/synctest"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// TestQueueSettings: they are those that Queue shows, for a queue that exists.
func TestQueueSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t)
		r.do(scheduler.Command{Op: scheduler.OpConfigureQueue, Queue: &scheduler.QueueCommand{
			Name: "mail", Weight: 3, Fields: scheduler.QueueRetentionSet | scheduler.QueueDeadRetentionSet | scheduler.QueueMaxLeasesSet,
			Retention: scheduler.Hour + 1, DeadRetention: 1, MaxLeases: 7,
		}})
		set, ok := r.e.QueueSettings("mail")
		shown, _ := r.e.Queue("mail")
		if !ok || set.Weight != 3 || set.Retention != shown.Retention || set.DeadRetention != shown.DeadRetention || set.MaxLeases != shown.MaxLeases || set.DeadRetention != 1 {
			t.Errorf("settings %+v, %v; shown %+v", set, ok, shown)
		}
		if _, ok := r.e.QueueSettings("nope"); ok {
			t.Error("a queue that doesn't exist has settings")
		}
	})
}
