package sim

// disk is what outlives the coordinator's process: the log's entries and the store. What was written and not synced is lost
// by a crash, wholly or but for a head of it (a torn tail); what was synced never is.
type disk struct {
	w       *World
	entries [][]byte // all that were ever written: index i+1 stands at i
	first   uint64   // the lowest index that a start can still read: those before were cut
	synced  uint64   // Invariant: entries through this one survive any crash
	store   *store
	terms   uint64
	mounts  uint64 // counts crashes: a sync of an earlier process tells nobody
	syncing bool
	drags   bool // the next sync takes long
}

func newDisk(w *World) *disk { return &disk{w: w, first: 1, store: newStore()} }

func (d *disk) written() uint64 { return uint64(len(d.entries)) }

// append writes an entry behind the others, unsynced, and returns its index.
func (d *disk) append(entry []byte) uint64 {
	d.entries = append(d.entries, entry)
	return d.written()
}

// read returns an entry; false: it was cut, or never written.
func (d *disk) read(index uint64) ([]byte, bool) {
	if index < d.first || index > d.written() {
		return nil, false
	}
	return d.entries[index-1], true
}

// sync makes what is written so far durable, and calls done, or failed at the disk's first error. What is written meanwhile
// waits for another sync.
func (d *disk) sync(done func(), failed func()) {
	if d.syncing {
		return
	}
	d.syncing = true
	mount, through := d.mounts, d.written()
	d.w.after(d.latency(), func() {
		if d.mounts != mount {
			return
		}
		d.syncing = false
		if d.w.fault(d.w.plan.DiskError) {
			d.w.injected(FaultDiskError)
			failed()
			return
		}
		d.synced = through
		done()
	})
}

// latency draws how long one sync takes.
func (d *disk) latency() int64 {
	if drags := d.drags; d.w.fault(d.w.plan.DiskSlow) || drags {
		d.drags = false
		d.w.injected(FaultDiskSlow)
		return d.w.between(100*millisecond, 3*second)
	}
	return d.w.span(d.w.plan.Fsync)
}

// crash loses what wasn't synced, but for a head of it.
func (d *disk) crash() {
	d.mounts++
	d.syncing = false
	kept := uint64(d.w.between(int64(d.synced), int64(d.written())))
	if kept < d.written() {
		d.w.injected(FaultLostTail)
	}
	if kept > d.synced {
		d.w.injected(FaultTornTail)
	}
	d.w.note("disk: of entries %d to %d, unsynced, those through %d survive", int64(d.synced)+1, int64(d.written()), int64(kept))
	clear(d.entries[kept:])
	d.entries = d.entries[:kept]
	d.synced = kept
}

// cut lets go of entries through an index, but for a few: a checkpoint holds what they did.
func (d *disk) cut(through uint64) {
	if keep := d.w.plan.TrailingLogs; through > keep {
		d.first = max(d.first, through-keep+1)
	}
	if d.first > d.store.index+1 { // (14)
		d.w.fail(InvReplay, "the log is cut to entry %d, and the checkpoint holds what was done through %d", d.first, d.store.index)
	}
}
