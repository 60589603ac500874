package scheduler

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"
)

// record writes the golden logs of the newest logic version anew: go test ./internal/scheduler -run TestGolden -record.
// That is for a version that isn't released yet; the commit that releases it records it for the last time, and from then on
// its files stand: a version that is out may not behave otherwise, so a difference is a bug, and a new record never the
// cure. The next version adds a digestSinceN of the effects' new fields and gets files under its own number.
var record = flag.Bool("record", false, "record the golden logs of the newest logic version")

const goldenDir = "testdata/golden"

// goldenStep is one line of a golden log: a step, and what it came to.
type goldenStep struct {
	Batch   *Batch
	Hash    string // of the state after it
	Effects string // digest, see digestEffects
}

// TestGolden replays logs that were recorded by the builds that released each logic version, and wants the hash and the
// effects of every step to be what they were: grants aren't in the log, so an old tail must give them again. A second copy
// of the state goes through a checkpoint now and then.
func TestGolden(t *testing.T) {
	if *record {
		recordGolden(t)
	}
	seen := map[uint32]int{} // steps by logic version
	files, err := filepath.Glob(goldenDir + "/*.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) { replayGolden(t, path, seen) })
	}
	for v := uint32(1); v <= LogicVersion; v++ {
		if seen[v] == 0 {
			t.Errorf("there is no golden log of logic %d: record it", v)
		}
	}
}

func replayGolden(t *testing.T, path string, seen map[uint32]int) {
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	live, loaded := New(), New()
	var eff, other Effects
	in := json.NewDecoder(bufio.NewReader(z))
	for n := 0; ; n++ {
		if !in.More() {
			t.Logf("%d steps", n)
			return
		}
		var g goldenStep
		if err := in.Decode(&g); err != nil {
			t.Fatalf("step %d: %v", n, err)
		}
		seen[g.Batch.Logic]++
		live.Apply(g.Batch, &eff)
		loaded.Apply(g.Batch, &other)
		if hash := hex(live.Hash()); hash != g.Hash {
			t.Fatalf("step %d: the state's hash is %s, released was %s\n%s", n, hash, g.Hash, describe(g.Batch))
		}
		if digest := hex(digestEffects(&eff, g.Batch.Logic)); digest != g.Effects {
			t.Fatalf("step %d: the digest of the effects is %s, released was %s\n%+v\n%s", n, digest, g.Effects, eff, describe(g.Batch))
		}
		if loaded.Hash() != live.Hash() || !same(&eff, &other) {
			t.Fatalf("step %d: a state loaded from a checkpoint goes on otherwise\n%s", n, describe(g.Batch))
		}
		if n%16 == 15 {
			loaded = checkpointOf(t, loaded).load(t)
		}
	}
}

func hex(v uint64) string { return fmt.Sprintf("%016x", v) }

// recordGolden writes the logs of LogicVersion: random histories, the last of which begins under the version before, one of
// many lost workers and heavy tasks, one that meets the bounds of a step, one of workers that confirm nothing, and a restore.
func recordGolden(t *testing.T) {
	for i, logic := range []uint32{LogicVersion, LogicVersion, LogicVersion, LogicVersion - 1} {
		writeGolden(t, fmt.Sprintf("random%d", i+1), func(apply func(*Batch) *State) { recordRandom(uint64(101+i), 350, logic, apply) })
	}
	writeGolden(t, "losses", func(apply func(*Batch) *State) { recordLosses(200, 500, apply) })
	writeGolden(t, "bulk", recordBulk)
	writeGolden(t, "unconfirmed", recordUnconfirmed)
	writeGolden(t, "restored", recordRestored)
}

func writeGolden(t *testing.T, name string, run func(apply func(*Batch) *State)) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	s := New()
	var eff Effects
	run(func(b *Batch) *State {
		s.Apply(b, &eff)
		line, err := json.Marshal(goldenStep{b, hex(s.Hash()), hex(digestEffects(&eff, b.Logic))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := z.Write(append(withoutZeros(t, line), '\n')); err != nil {
			t.Fatal(err)
		}
		return s
	})
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("%s/logic%d-%s.gz", goldenDir, LogicVersion, name)
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes", path, out.Len())
}

// withoutZeros drops the fields that are zero.
func withoutZeros(t *testing.T, line []byte) []byte {
	in := json.NewDecoder(bytes.NewReader(line))
	in.UseNumber()
	var v any
	if err := in.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var prune func(v any)
	prune = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, field := range v {
				if field == nil || field == "" || field == false || field == json.Number("0") {
					delete(v, key)
				} else {
					prune(field)
				}
			}
		case []any:
			for _, e := range v {
				prune(e)
			}
		}
	}
	prune(v)
	line, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// digestEffects is a hash of what a step did, field by field: those that a version had when it was released.
func digestEffects(e *Effects, logic uint32) uint64 {
	h := fnv.New64a()
	add := func(v ...any) { fmt.Fprintln(h, v...) }
	for i := range e.Replies {
		r := &e.Replies[i]
		add(r.Code, r.Index, r.First, r.Count, r.IDs, r.Old, r.Items, r.Stop, r.Session, r.Attach, r.Through, r.Answers, r.Fresh)
	}
	add(e.IDs, e.Indexes, e.Items, e.Tokens, e.Answers, e.Revived, e.Forgotten, e.More)
	for i := range e.Grants {
		g := &e.Grants[i]
		add(g.Session, g.Attach, g.Token, g.Task, g.Kind, g.Queue, g.Pool, g.Attempt, g.MaxAttempts, g.Weight, g.Gen, g.AttemptTimeout,
			g.StartBy, g.Deadline, g.PayloadBytes, g.Again)
	}
	for _, c := range e.Cancels {
		add(c.Session, c.Token, c.Task, c.Reason)
	}
	for _, s := range e.Staged {
		add(s.Task, s.Cmd, s.Item)
	}
	for i := range e.Finished {
		f := &e.Finished[i]
		p := &f.Policy
		add(f.Task, f.State, f.Cause, f.Gen, f.Kind, f.Queue, f.Require, f.Priority, f.Weight, f.HasLabels, f.HasFailure, f.Attempts,
			f.Losses, f.PayloadBytes, f.StartBy, f.Deadline, f.Submitted, f.At, f.ExpiresAt, f.Token, f.Session, f.Worker, f.Cmd, f.Item)
		add(p.AttemptTimeout, p.Backoff, p.BackoffMax, p.Retention, p.DeadRetention, p.MaxAttempts, p.MaxLosses, p.Factor)
	}
	for i := range e.Failed {
		f := &e.Failed[i]
		add(f.Task, f.Cause, f.Attempt, f.Cmd, f.Item)
	}
	for _, s := range e.Sessions {
		add(s.Session, s.Kind, s.Attach)
	}
	if logic >= 2 {
		digestSince2(e, add)
	}
	return h.Sum64()
}
