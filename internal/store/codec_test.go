package store

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

// filler draws every field of a row by reflection, so that a field added to a
// row without a place in its message fails the tests here.
type filler struct {
	t *rapid.T
	// full leaves no field zero and no list empty.
	full bool
}

func (f filler) fill(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *scheduler.TaskState:
		*x = rapid.SampledFrom([]scheduler.TaskState{scheduler.Scheduled, scheduler.Waiting, scheduler.Pending, scheduler.Leased}).Draw(f.t, "state")
		return
	case *scheduler.TaskFlags:
		*x = scheduler.TaskFlags(rapid.IntRange(f.least(), int(liveFlags)).Draw(f.t, "flags"))
		return
	case *scheduler.Answer:
		*x = rapid.SampledFrom([]scheduler.Answer{scheduler.AnswerAccepted, scheduler.AnswerFenced, scheduler.AnswerGone}).Draw(f.t, "answer")
		return
	case *int32: // counts and positions
		*x = rapid.Int32Range(int32(f.least()), math.MaxInt32).Draw(f.t, "count")
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.Slice:
		if n := rapid.IntRange(f.least(), 3).Draw(f.t, "len"); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				f.fill(v.Index(i))
			}
		}
	case reflect.Array:
		if f.full || rapid.Bool().Draw(f.t, "hash") {
			for i := range v.Len() {
				f.fill(v.Index(i))
			}
		}
	case reflect.String:
		v.SetString(rapid.StringN(f.least(), 5, -1).Draw(f.t, "string"))
	case reflect.Bool:
		v.SetBool(f.full || rapid.Bool().Draw(f.t, "bool"))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		bits := v.Type().Bits()
		v.SetUint(rapid.Uint64Range(uint64(f.least()), math.MaxUint64>>(64-bits)).Draw(f.t, "uint"))
	case reflect.Int8, reflect.Int64:
		bits := v.Type().Bits()
		n := rapid.Int64Range(math.MinInt64>>(64-bits), math.MaxInt64>>(64-bits)).Draw(f.t, "int")
		if n == 0 && f.full {
			n = -1
		}
		v.SetInt(n)
	default:
		f.t.Fatalf("a row has a field of kind %v: teach the filler and the codec", v.Kind())
	}
}

func (f filler) least() int {
	if f.full {
		return 1
	}
	return 0
}

// image is the field of a row that its table names.
func image(row *scheduler.Row) reflect.Value {
	name := map[scheduler.Table]string{
		scheduler.TableGlobals: "Globals", scheduler.TableQueues: "Queue", scheduler.TableShapes: "Shape",
		scheduler.TablePolicies: "Policy", scheduler.TableSessions: "Session", scheduler.TableTasks: "Task",
		scheduler.TableLeases: "Lease", scheduler.TableProducers: "Producer", scheduler.TableKeys: "Key128",
		scheduler.TableDead: "Dead",
	}[row.Table]
	v := reflect.ValueOf(row).Elem().FieldByName(name)
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	return v
}

// drawRow draws a row of a table. key 0: draw that too.
func drawRow(f filler, table scheduler.Table, key uint64) scheduler.Row {
	row := scheduler.Row{Table: table, Key: key}
	v := image(&row)
	f.fill(v)
	if table == scheduler.TableGlobals {
		row.Key = globalsKey
		return row
	}
	// The first field is the row's own name, which is its key.
	if own := v.Field(0); row.Key == 0 {
		row.Key = rapid.Uint64Range(1, math.MaxUint64>>(64-own.Type().Bits())).Draw(f.t, "key")
	}
	v.Field(0).SetUint(row.Key)
	return row
}

func TestRowsRoundTrip(t *testing.T) {
	for _, table := range scheduler.Tables() {
		for _, full := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/full=%v", table, full), func(t *testing.T) {
				var c codec
				rapid.Check(t, func(t *rapid.T) {
					want := drawRow(filler{t, full}, table, 0)
					data, err := c.append(nil, &want)
					if err != nil {
						t.Fatal(err)
					}
					var got scheduler.Row
					if err := c.decode(table, want.Key, data, &got); err != nil {
						t.Fatal(err)
					}
					if !reflect.DeepEqual(got, want) {
						t.Fatalf("got  %+v\nwant %+v", got, want)
					}
				})
			})
		}
	}
}

// TestMessagesFull holds that a row without a zero field gives a message without
// an absent one: no field of a message is forgotten.
func TestMessagesFull(t *testing.T) {
	messages := map[scheduler.Table]proto.Message{
		scheduler.TableGlobals: &storagev1.Globals{}, scheduler.TableQueues: &storagev1.Queue{},
		scheduler.TableShapes: &storagev1.Shape{}, scheduler.TablePolicies: &storagev1.Policy{},
		scheduler.TableSessions: &storagev1.Session{}, scheduler.TableTasks: &storagev1.Task{},
		scheduler.TableLeases: &storagev1.Lease{}, scheduler.TableProducers: &storagev1.Producer{},
		scheduler.TableKeys: &storagev1.Key{}, scheduler.TableDead: &storagev1.Dead{},
	}
	var c codec
	rapid.Check(t, func(t *rapid.T) {
		for table, m := range messages {
			row := drawRow(filler{t, true}, table, 0)
			data, err := c.append(nil, &row)
			if err != nil {
				t.Fatal(err)
			}
			if err := proto.Unmarshal(data, m); err != nil {
				t.Fatal(err)
			}
			wantFull(t, m.ProtoReflect())
		}
	})
	if len(messages) != len(scheduler.Tables()) {
		t.Errorf("%d messages for %d tables", len(messages), len(scheduler.Tables()))
	}
}

func wantFull(t *rapid.T, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) {
			t.Fatalf("%s is never set", f.FullName())
		}
		if f.Kind() != protoreflect.MessageKind {
			continue
		}
		if f.IsList() {
			for j := range m.Get(f).List().Len() {
				wantFull(t, m.Get(f).List().Get(j).Message())
			}
		} else {
			wantFull(t, m.Get(f).Message())
		}
	}
}

// TestHandDecoding holds the two decoders written by hand against the generated
// ones, fields of a newer build included.
func TestHandDecoding(t *testing.T) {
	var c codec
	rapid.Check(t, func(t *rapid.T) {
		task := drawRow(filler{t: t}, scheduler.TableTasks, 0)
		lease := drawRow(filler{t: t}, scheduler.TableLeases, 0)
		for _, row := range []scheduler.Row{task, lease} {
			data, err := c.append(nil, &row)
			if err != nil {
				t.Fatal(err)
			}
			data = protowire.AppendVarint(protowire.AppendTag(data, 100, protowire.VarintType), 7)
			data = protowire.AppendString(protowire.AppendTag(data, 101, protowire.BytesType), "newer")
			data = protowire.AppendFixed64(protowire.AppendTag(data, 102, protowire.Fixed64Type), 7)
			var byHand scheduler.Row
			if err := c.decode(row.Table, row.Key, data, &byHand); err != nil {
				t.Fatal(err)
			}
			// What was decoded by hand gives the message that the generated
			// code decodes.
			switch row.Table {
			case scheduler.TableTasks:
				m := new(storagev1.Task)
				again, err := appendTask(nil, &byHand.Task)
				if err == nil {
					err = proto.Unmarshal(again, m)
				}
				sameMessage(t, data, new(storagev1.Task), err, m)
				if generated, err := proto.Marshal(m); err != nil || !bytes.Equal(again, generated) {
					t.Fatalf("by hand %x, generated %x, %v", again, generated, err)
				}
			default:
				m := new(storagev1.Lease)
				sameMessage(t, data, m, c.leaseToProto(&byHand.Lease), &c.lease)
			}
		}
	})
}

func sameMessage(t *rapid.T, data []byte, want proto.Message, err error, got proto.Message) {
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(data, want); err != nil {
		t.Fatal(err)
	}
	want.ProtoReflect().SetUnknown(nil)
	if !proto.Equal(got, want) {
		t.Fatalf("by hand %v, generated %v", got, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	marshal := func(m proto.Message) []byte {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, test := range []struct {
		table scheduler.Table
		key   uint64
		data  []byte
		want  string
	}{
		{scheduler.TableTasks, 1, marshal(&storagev1.Task{State: 0}), "state 0"},
		{scheduler.TableTasks, 1, marshal(&storagev1.Task{State: 5}), "state 5"},
		{scheduler.TableTasks, 1, marshal(&storagev1.Task{State: 300}), "state is 300"},
		{scheduler.TableTasks, 1, marshal(&storagev1.Task{State: 3, Flags: 32}), "flags 0x20"},
		{scheduler.TableTasks, 1, marshal(&storagev1.Task{State: 3, Priority: 128}), "priority"},
		{scheduler.TableTasks, 1, marshal(&storagev1.Task{State: 3, Attempts: 1 << 16}), "attempts"},
		{scheduler.TableTasks, 1, []byte{0xff}, "isn't a message"},
		{scheduler.TableTasks, 1, []byte{0x08}, "isn't a message"},
		{scheduler.TableLeases, 1, marshal(&storagev1.Lease{Weight: 1 << 16}), "weight"},
		{scheduler.TableLeases, 1, []byte{0x0a, 0x05}, "isn't a message"},
		{scheduler.TableSessions, 1, marshal(&storagev1.Session{Answers: []byte{1, 4}}), "answer 4"},
		{scheduler.TableSessions, 1, marshal(&storagev1.Session{Worker: &storagev1.WorkerInfo{Incarnation: []byte{1}}}), "incarnation"},
		{scheduler.TableSessions, 1, marshal(&storagev1.Session{Worker: &storagev1.WorkerInfo{Pools: []*storagev1.Pool{{Prefetch: 1 << 16}}}}), "prefetch is 65536"},
		{scheduler.TableKeys, 1, marshal(&storagev1.Key{Key: make([]byte, 15)}), "key has 15 bytes"},
		{scheduler.TableProducers, 1, marshal(&storagev1.Producer{Answers: []*storagev1.ProducerAnswer{{Count: 1 << 31}}}), "count"},
		{scheduler.TablePolicies, 1, marshal(&storagev1.Policy{Factor: 256}), "factor"},
		{scheduler.TableQueues, 1 << 32, marshal(&storagev1.Queue{}), "key"},
		{scheduler.TableGlobals, 2, marshal(&storagev1.Globals{}), "key"},
		{0, 1, nil, "no table 0"},
	} {
		var c codec
		var row scheduler.Row
		err := c.decode(test.table, test.key, test.data, &row)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: error %v, want %q", test.table, err, test.want)
		}
	}
}

// TestSaveRefuses holds that what Load would refuse is never stored.
func TestSaveRefuses(t *testing.T) {
	ended := taskRow(1)
	ended.Task.State = scheduler.Succeeded
	misnamed := taskRow(1)
	misnamed.Key = 2
	session := scheduler.Row{Table: scheduler.TableSessions, Key: 1, Session: &scheduler.SessionRow{ID: 1, Answers: []scheduler.Answer{9}}}
	producer := scheduler.Row{Table: scheduler.TableProducers, Key: 1, Producer: &scheduler.ProducerRow{Row: 1, Answers: []scheduler.ProducerAnswer{{Old: []int32{-1}}}}}
	for want, rows := range map[string][]scheduler.Row{
		"state 5":           {ended},
		"calls itself 1":    {misnamed},
		"answer 9":          {session},
		"old is -1":         {producer},
		"no image":          {{Table: scheduler.TableQueues, Key: 1}},
		"no table 11":       {{Table: 11, Key: 1}},
		"no key":            {deletion(scheduler.TableTasks, 0)},
		"key 7: it came tw": {taskRow(7), deletion(scheduler.TableTasks, 7)},
	} {
		s := openTest(t, t.TempDir())
		err := s.Save(&Checkpoint{Index: 1, Rows: pulling(rows)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if s.DurableIndex() != 0 {
			t.Errorf("%s: saved", want)
		}
	}
}
