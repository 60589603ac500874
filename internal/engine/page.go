package engine

import (
	"cmp"
	"math"
	"slices"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// page gathers the lowest ids that pass a filter, window by window.
type page struct {
	filter filter
	tasks  []*Task          // Invariant: but for those of the open window, in order of id and all at or below at
	at     scheduler.TaskID // all ids up to it have been dealt with
	looks  int
	n      int  // tasks of the last look
	ended  bool // there are none above at

	// The open window is the ids above at and up to high.
	high scheduler.TaskID
	from int  // of tasks: the window's begin here
	last bool // nothing that is wanted is above high

	revived []scheduler.TaskID // since the window was opened; written by steps, under the engine's mu
}

func newPage(f ListFilter) *page {
	f.Max = max(f.Max, 1)
	if f.Looks <= 0 {
		f.Looks = ListLooks
	}
	if f.Through == 0 {
		f.Through = math.MaxUint64
	}
	return &page{filter: newFilter(f), at: f.After, ended: f.After >= f.Through}
}

// done reports whether the page is to be returned as it is.
func (p *page) done() bool {
	return p.ended || len(p.tasks) >= p.filter.Max || p.looks >= p.filter.Looks
}

// next is where the page after this one goes on; 0: there is none.
func (p *page) next() scheduler.TaskID {
	if p.ended {
		return 0
	}
	return p.at
}

// room is how many tasks the open window may add.
func (p *page) room() int { return p.filter.Max - p.from }

// chunk is how many tasks the next look is at: few at first, because often the first ones pass.
func (p *page) chunk() int {
	if p.n == 0 {
		p.n = p.filter.Max + 1
	} else {
		p.n *= 4
	}
	p.n = min(p.n, findChunk)
	return max(min(p.n, p.filter.Looks-p.looks), 1)
}

// open begins a window, up to the last live task that was looked at; done: there are no more live ones.
func (p *page) open(last scheduler.TaskID, done bool) {
	p.from, p.high, p.last = len(p.tasks), last, false
	if done || last >= p.filter.Through {
		p.high, p.last = p.filter.Through, true
	}
}

// shorten ends the window at an id.
func (p *page) shorten(high scheduler.TaskID) {
	if high < p.high {
		p.high, p.last = high, false
	}
}

// inWindow reports whether an id is in the open window.
func (p *page) inWindow(id scheduler.TaskID) bool { return id > p.at && id <= p.high }

// add adds a task that passes.
func (p *page) add(t *Task) {
	if p.inWindow(t.ID) {
		p.tasks = append(p.tasks, t)
	}
}

// close puts the window in order: each task once, as it was first seen.
func (p *page) close() {
	window := p.tasks[p.from:]
	slices.SortStableFunc(window, func(a, b *Task) int { return cmp.Compare(a.ID, b.ID) })
	window = slices.CompactFunc(window, func(a, b *Task) bool { return a.ID == b.ID })
	for len(window) > 0 && window[len(window)-1].ID > p.high { // added before the window was shortened
		window = window[:len(window)-1]
	}
	if room := p.room(); len(window) > room {
		window = window[:room]
		p.shorten(window[room-1].ID)
	}
	p.tasks = p.tasks[:p.from+len(window)]
	p.at, p.ended = p.high, p.last
}

// filter is a ListFilter made ready.
type filter struct {
	ListFilter
	states uint64 // bits; 0: all
	labels []scheduler.Label
}

func newFilter(f ListFilter) filter {
	x := filter{ListFilter: f}
	for _, s := range f.States {
		x.states |= 1 << s
	}
	for k, v := range f.Labels {
		x.labels = append(x.labels, scheduler.Label{Key: k, Value: v})
	}
	return x
}

func (f *filter) wantsState(s scheduler.TaskState) bool { return f.states == 0 || f.states&(1<<s) != 0 }

// wantsFinished and wantsLive report whether tasks that have ended, and others, can pass.
func (f *filter) wantsFinished() bool {
	return f.states == 0 || slices.ContainsFunc(f.States, scheduler.TaskState.Terminal)
}

func (f *filter) wantsLive() bool {
	return f.states == 0 || slices.ContainsFunc(f.States, func(s scheduler.TaskState) bool { return !s.Terminal() })
}

func (f *filter) wantsQueue(queue, kind string) bool {
	return (f.Queue == "" || f.Queue == queue) && (f.Kind == "" || f.Kind == kind)
}

func (f *filter) wantsSubmitted(at scheduler.Time) bool {
	return (f.SubmittedFrom == 0 || at >= f.SubmittedFrom) && (f.SubmittedBefore == 0 || at < f.SubmittedBefore)
}

// passesLive reports whether a live task passes, but for the values of its labels, which the core doesn't know.
func (f *filter) passesLive(info *scheduler.TaskInfo) bool {
	return f.wantsState(info.State) && f.wantsQueue(info.Queue, info.Kind) && f.wantsSubmitted(info.Submitted) &&
		(len(f.labels) == 0 || info.Flags&scheduler.FlagHasLabels != 0)
}

// passesDecoded reports whether a finished task passes.
func (f *filter) passesDecoded(fin *storagev1.Finished) bool {
	return f.wantsState(scheduler.TaskState(fin.GetState())) && f.wantsQueue(fin.GetSpec().GetQueue(), fin.GetSpec().GetKind()) &&
		f.wantsSubmitted(scheduler.Time(fin.GetSubmitted())) && f.hasLabels(fin)
}

// hasLabels reports whether all wanted labels are there.
func (f *filter) hasLabels(fin *storagev1.Finished) bool {
	for _, want := range f.labels {
		if !slices.ContainsFunc(fin.GetLabels(), func(l *storagev1.Label) bool {
			return l.GetKey() == want.Key && l.GetValue() == want.Value
		}) {
			return false
		}
	}
	return true
}
