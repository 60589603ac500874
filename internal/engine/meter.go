package engine

import "time"

// Meter is told the engine's measurements. Its methods may be called from several goroutines, some of them under the
// engine's locks: it must neither block nor call the engine.
type Meter interface {
	// Batch: an entry of so many commands, changed rows (estimated) and bytes was proposed.
	Batch(commands, rows, bytes int)
	// Commit: from proposal to the end of Apply of an entry that this process proposed.
	Commit(took time.Duration)
	// Checkpoint: one was saved, of so many rows of the state.
	Checkpoint(rows int, took time.Duration)
	// Stall: submits and outcomes waited so long for a checkpoint (DESIGN 10).
	Stall(took time.Duration)
}

// noMeter measures for nobody.
type noMeter struct{}

func (noMeter) Batch(int, int, int)           {}
func (noMeter) Commit(time.Duration)          {}
func (noMeter) Checkpoint(int, time.Duration) {}
func (noMeter) Stall(time.Duration)           {}
