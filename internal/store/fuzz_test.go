package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"testing"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

// fuzzBytesMax bounds what a fuzzer's input may cost in time and memory.
const fuzzBytesMax = 64 << 10

// fuzzRows are rows of every table, as the core makes them.
func fuzzRows() []scheduler.Row {
	hash := scheduler.Hash128{1, 2, 3}
	worker := scheduler.WorkerInfo{Name: "w1", Incarnation: hash, Kinds: []string{"a"}, Labels: []scheduler.Label{{Key: "gpu", Value: "yes"}},
		Pools: []scheduler.Pool{{Name: "main", Slots: 4, Prefetch: 2}}}
	return []scheduler.Row{
		taskRow(3),
		{Table: scheduler.TableGlobals, Key: 1, Globals: &scheduler.GlobalsRow{Now: 7, Term: 3, LastTask: 9, LastToken: 12, Logic: 2}},
		{Table: scheduler.TableQueues, Key: 2, Queue: &scheduler.QueueRow{ID: 2, Name: "mail", Weight: 3, Paused: true}},
		{Table: scheduler.TableShapes, Key: 5, Shape: &scheduler.ShapeRow{ID: 5, Queue: 2, Kind: "a", Weight: 1, Require: worker.Labels}},
		{Table: scheduler.TablePolicies, Key: 2, Policy: &scheduler.PolicyRow{ID: 2, Policy: scheduler.DefaultPolicy()}},
		{Table: scheduler.TableSessions, Key: 4, Session: &scheduler.SessionRow{ID: 4, Worker: worker, AnswersFrom: 1,
			Answers: []scheduler.Answer{scheduler.AnswerAccepted, scheduler.AnswerGone}, EndStarted: []scheduler.Token{7}}},
		{Table: scheduler.TableLeases, Key: 12, Lease: scheduler.LeaseRow{Token: 12, Task: 3, Session: 4, Granted: 5, Term: 3, Weight: 1}},
		{Table: scheduler.TableProducers, Key: 6, Producer: &scheduler.ProducerRow{Row: 6, ID: hash, Lowest: 2,
			Answers: []scheduler.ProducerAnswer{{Number: 2, First: 3, Count: 4}, {Number: 3, IDs: []scheduler.TaskID{7}, Old: []int32{0}}}}},
		{Table: scheduler.TableKeys, Key: 8, Key128: scheduler.KeyRow{Row: 8, Key: hash, Body: hash, Task: 3, Expires: 77}},
		{Table: scheduler.TableDead, Key: 9, Dead: scheduler.DeadRow{Row: 9, Task: 2, Gen: 1, Queue: 2}},
	}
}

// FuzzDecode: what can be read of any bytes can be written, and reads the same again.
func FuzzDecode(f *testing.F) {
	for _, row := range fuzzRows() {
		data, err := new(codec).append(nil, &row)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(row.Table), row.Key, data)
	}
	f.Add(uint8(scheduler.TableTasks), uint64(1), []byte{0x78, 3})
	f.Fuzz(func(t *testing.T, table uint8, key uint64, data []byte) {
		var c codec
		var row, again scheduler.Row
		if len(data) > fuzzBytesMax || c.decode(scheduler.Table(table), key, data, &row) != nil || key == 0 {
			return
		}
		written, err := c.append(nil, &row)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.decode(scheduler.Table(table), key, written, &again); err != nil {
			t.Fatalf("%+v, written: %v", row, err)
		}
		if !reflect.DeepEqual(row, again) {
			t.Fatalf("%+v, written and read again %+v", row, again)
		}
	})
}

// FuzzAttempts: what is added to attempts of any form is there at the end, and the list keeps its bound. The generated
// code, which knows nothing of format 1's form, agrees.
func FuzzAttempts(f *testing.F) {
	f.Add(someAttempts("a"), someAttempts("b", "c"))
	f.Add([]byte(nil), someAttempts(slices.Repeat([]string{"x"}, AttemptsKept+3)...))
	f.Add((&attempts{earlier: 5}).append(nil), (&attempts{earlier: 1<<64 - 1}).append(nil)) // more than can be counted
	first, err := proto.Marshal(&storagev1.Attempt{Cause: 1, Attempt: 1, Token: 7})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(first, someAttempts("y"))
	f.Fuzz(func(t *testing.T, before, more []byte) {
		if len(before)+len(more) > fuzzBytesMax {
			return
		}
		var a attempts
		if a.add(before) != nil {
			return
		}
		was, earlier := len(a.list), a.earlier
		if a.add(more) != nil {
			return
		}
		all := uint64(len(a.list)) + a.earlier
		if a.earlier < earlier || len(a.list) < was {
			t.Fatalf("%d and %d earlier became %d and %d", was, earlier, len(a.list), a.earlier)
		}
		a.trim()
		if len(a.list) > AttemptsKept || uint64(len(a.list))+a.earlier != all && a.earlier != 1<<32-1 {
			t.Fatalf("%d attempts, and %d of %d are kept", all, len(a.list), a.earlier)
		}
		data := a.append(nil)
		if len(data) > a.size() {
			t.Fatalf("%d bytes, %d were expected at most", len(data), a.size())
		}
		var again attempts
		if err := again.add(data); err != nil || again.earlier != a.earlier || !slices.EqualFunc(again.list, a.list, bytes.Equal) {
			t.Fatalf("%+v was written and read again as %+v: %v", a, again, err)
		}
		m := &storagev1.Attempts{}
		if proto.Unmarshal(data, m) == nil && (len(m.GetList()) != len(a.list) || uint64(m.GetEarlier()) != a.earlier) {
			t.Fatalf("%+v, the generated code says %v", a, m)
		}
	})
}

// FuzzRun: the members of a run of any bytes come in ascending order and lie within it, and a run that can be read is
// found member by member.
func FuzzRun(f *testing.F) {
	run := []byte{runMarker, 3}
	for _, m := range []struct {
		delta uint64
		data  string
	}{{0, "one"}, {1, ""}, {300, "three"}} {
		run = append(binary.AppendUvarint(binary.AppendUvarint(run, m.delta), uint64(len(m.data))), m.data...)
	}
	f.Add(uint64(7), run)
	f.Add(uint64(1), []byte{runMarker, 0})
	f.Add(uint64(1<<63), []byte{runMarker, 1, 0, 1})
	f.Add(uint64(9), []byte("a row alone"))
	f.Fuzz(func(t *testing.T, key uint64, data []byte) {
		if len(data) > fuzzBytesMax {
			return
		}
		for _, kind := range []*runKind{&taskRuns, &bodyRuns} {
			walkRun(t, kind, key, seal(slices.Clone(data), 0, place(kind.run, key)), len(data))
			walkRun(t, kind, key, seal(slices.Clone(data), 0, place(kind.single, key)), len(data))
		}
	})
}

func walkRun(t *testing.T, kind *runKind, key uint64, value []byte, room int) {
	m, err := kind.open(key, value)
	last, n, bytes := uint64(0), 0, 0
	for ok := err == nil; ok; {
		if ok, err = m.next(); !ok {
			break
		}
		if n++; n > 1 && m.id <= last || m.id < key {
			t.Fatalf("member %d after %d, of a run of key %d", m.id, last, key)
		}
		last = m.id
		bytes += len(m.data)
	}
	if err != nil && !errors.Is(err, ErrDamaged) {
		t.Fatalf("not told as damage: %v", err)
	}
	if bytes > room || err == nil && n != claimed(value) && value[0] == runMarker && m.run != nil {
		t.Fatalf("%d members of %d bytes in %d, it claims %d", n, bytes, room, claimed(value))
	}
}

// FuzzFinished: the header and the queue's name of any stored finished task, read by hand, agree with what they are written
// as and with the generated code.
func FuzzFinished(f *testing.F) {
	message, err := proto.Marshal(&storagev1.Finished{State: 5, Spec: &storagev1.TaskSpec{Kind: "a", Queue: "mail"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(finishedHeader{dead: true, gen: 3, expires: 77}.append(nil), message...))
	f.Add(append(finishedHeader{attempts: true, gen: 1, expires: 1 << 40, queue: 2}.append(nil), message...))
	f.Add(append(make([]byte, finishedHeaderBytes1), message...)) // format 1
	f.Fuzz(func(t *testing.T, value []byte) {
		if len(value) > fuzzBytesMax {
			return
		}
		h, data, err := parseFinished(value)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("not told as damage: %v", err)
			}
			return
		}
		if !h.format1 && !bytes.Equal(append(h.append(nil), data...), value) {
			t.Fatalf("%x was read as %+v and is written as %x", value, h, h.append(nil))
		}
		m := &storagev1.Finished{}
		if proto.Unmarshal(data, m) != nil {
			queueOf(data) // reads any bytes
			return
		}
		if data, err = (proto.MarshalOptions{Deterministic: true}).Marshal(m); err != nil { // one field each, as the engine writes it
			t.Fatal(err)
		}
		if got := string(queueOf(data)); got != m.GetSpec().GetQueue() {
			t.Fatalf("queue %q, the generated code says %q", got, m.GetSpec().GetQueue())
		}
	})
}

// FuzzPlaces: a row of places of any bytes is refused as damage, or its ids are written again as they were read.
func FuzzPlaces(f *testing.F) {
	f.Add(placeKey{7, 1}.bytes(), appendIDs(nil, []uint64{1, 2, 300, 1 << 40}))
	f.Add([]byte("odd"), []byte{0x80})
	f.Add(placeKey{1 << 63, 1 << 63}.bytes(), appendIDs(nil, []uint64{1<<64 - 1}))
	f.Fuzz(func(t *testing.T, k, data []byte) {
		if len(data) > fuzzBytesMax {
			return
		}
		key, _ := parsePlaceKey(k)
		row, err := readPlaces(bucketExpiry, tagExpiry, k, seal(slices.Clone(data), 0, sealOfPlaces(tagExpiry, key)), nil)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("not told as damage: %v", err)
			}
			return
		}
		if len(row.ids) > len(data) {
			t.Fatalf("%d ids in %d bytes", len(row.ids), len(data))
		}
		again, err := readIDs(appendIDs(nil, row.ids), nil)
		if err != nil || !slices.Equal(again, row.ids) {
			t.Fatalf("%d were written and read again as %d: %v", row.ids, again, err)
		}
	})
}
