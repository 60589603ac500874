package scheduler

import (
	"fmt"
	"reflect"
	"testing"
)

// TestHashSeesEveryField changes each field of each kind of row, one at a time, and wants another hash: a field that the
// hash forgets could differ between replicas unseen. The cure is a line in hash.go.
func TestHashSeesEveryField(t *testing.T) {
	for _, table := range Tables() {
		row := Row{Table: table, Key: 77}
		body := rowBody(&row)
		fill(body, new(int))
		base := encodeRow(&row)
		if row.Key = 78; string(encodeRow(&row)) == string(base) {
			t.Errorf("%s: the hash doesn't see the key", table)
		}
		row.Key = 77
		n := 0
		eachLeaf(body, table.String(), func(path string, leaf reflect.Value) {
			n++
			old := reflect.ValueOf(leaf.Interface())
			change(leaf)
			if changed := string(encodeRow(&row)) != string(base); changed == isKeyField(table, path) {
				t.Errorf("%s: changed %v; a key is in Row.Key, all else in the hash", path, changed)
			}
			leaf.Set(old)
		})
		if string(encodeRow(&row)) != string(base) {
			t.Fatalf("%s: the test didn't put everything back", table)
		}
		t.Logf("%s: %d fields", table, n)
	}
}

// rowBody returns the struct that a row of a table carries.
func rowBody(r *Row) reflect.Value {
	switch r.Table {
	case TableGlobals:
		r.Globals = &GlobalsRow{}
		return reflect.ValueOf(r.Globals).Elem()
	case TableQueues:
		r.Queue = &QueueRow{}
		return reflect.ValueOf(r.Queue).Elem()
	case TableShapes:
		r.Shape = &ShapeRow{}
		return reflect.ValueOf(r.Shape).Elem()
	case TablePolicies:
		r.Policy = &PolicyRow{}
		return reflect.ValueOf(r.Policy).Elem()
	case TableSessions:
		r.Session = &SessionRow{}
		return reflect.ValueOf(r.Session).Elem()
	case TableTasks:
		return reflect.ValueOf(&r.Task).Elem()
	case TableLeases:
		return reflect.ValueOf(&r.Lease).Elem()
	case TableProducers:
		r.Producer = &ProducerRow{}
		return reflect.ValueOf(r.Producer).Elem()
	case TableKeys:
		return reflect.ValueOf(&r.Key128).Elem()
	case TableDead:
		return reflect.ValueOf(&r.Dead).Elem()
	}
	panic("no table " + r.Table.String())
}

// isKeyField reports whether a field is what Row.Key holds.
func isKeyField(table Table, path string) bool {
	switch table {
	case TableQueues, TableShapes, TablePolicies, TableSessions, TableTasks:
		return path == table.String()+".ID"
	case TableLeases:
		return path == "leases.Token"
	case TableProducers, TableKeys, TableDead:
		return path == table.String()+".Row"
	}
	return false
}

// fill gives each leaf a value of its own, and each slice two elements.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.String:
		v.SetString(fmt.Sprintf("v%d", *n))
	case reflect.Bool:
		v.SetBool(false)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n % 100))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n % 100))
	default:
		panic("fill " + v.Kind().String())
	}
}

// eachLeaf calls f for each leaf, and for each slice as a whole.
func eachLeaf(v reflect.Value, path string, f func(string, reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			eachLeaf(v.Field(i), path+"."+v.Type().Field(i).Name, f)
		}
	case reflect.Array:
		for i := range v.Len() {
			eachLeaf(v.Index(i), fmt.Sprintf("%s[%d]", path, i), f)
		}
	case reflect.Slice:
		f(path, v)
		for i := range v.Len() {
			eachLeaf(v.Index(i), fmt.Sprintf("%s[%d]", path, i), f)
		}
	default:
		f(path, v)
	}
}

// change makes a leaf another value: a slice one element shorter.
func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		v.Set(v.Slice(0, 1))
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() + 1)
	default:
		v.SetUint(v.Uint() + 1)
	}
}

// TestLoadRefuses shows that a checkpoint that contradicts itself isn't loaded.
func TestLoadRefuses(t *testing.T) {
	h := newHarness(t)
	h.open(worker("w", 1, "a"))
	h.submit(specs(2, "a")...)
	whole := checkpointOf(t, h.s)
	for _, ref := range []rowRef{
		{TableGlobals, 1}, {TableQueues, 1}, {TableShapes, 1}, {TablePolicies, 1}, {TableSessions, 1}, {TableLeases, 1}, {TableTasks, 1},
	} {
		l := NewLoader()
		var err error
		for _, table := range Tables() {
			for k := range uint64(3) {
				row, ok := whole.rows[rowRef{table, k}]
				if ok && (rowRef{table, k}) != ref && err == nil {
					err = l.Add(&row)
				}
			}
		}
		if err == nil {
			_, err = l.State()
		}
		if err == nil {
			t.Errorf("row %s/%d was missing, and the state was loaded", ref.table, ref.key)
		} else {
			t.Logf("without %s/%d: %v", ref.table, ref.key, err)
		}
	}
	for name, rows := range map[string][]Row{
		"keys fall":   {whole.rows[rowRef{TableGlobals, 1}], whole.rows[rowRef{TableQueues, 1}], whole.rows[rowRef{TableQueues, 1}]},
		"tables fall": {whole.rows[rowRef{TableGlobals, 1}], whole.rows[rowRef{TableShapes, 1}], whole.rows[rowRef{TableQueues, 1}]},
	} {
		l := NewLoader()
		var err error
		for i := range rows {
			if e := l.Add(&rows[i]); e != nil {
				err = e
			}
		}
		if err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
	if s, err := NewLoader().State(); err != nil || s.Hash() != New().Hash() {
		t.Errorf("no rows: %v, want what New returns", err)
	}
}

// TestLoadedRowsStayTheCallers shows that a state leaves alone the rows that it was loaded from.
func TestLoadedRowsStayTheCallers(t *testing.T) {
	h := newHarness(t)
	id := h.open(worker("w", 4, "a"))
	request := func(number, lowest uint64) Command {
		return Command{Op: OpSubmit, Submit: &Submit{Producer: Hash128{1}, Number: number, Lowest: lowest, Tasks: specs(1, "a")}}
	}
	h.apply(request(1, 1), request(2, 1), request(3, 1))
	h.apply(h.outcomes(id, Outcome{Token: 1, Kind: OutcomeSucceeded}, Outcome{Token: 9}, Outcome{Token: 2, Kind: OutcomeInterrupted}))
	d := checkpointOf(t, h.s)
	h.s = d.load(t)
	h.apply(request(4, 3))
	h.apply(Command{Op: OpOutcomes, Outcomes: &Outcomes{Session: id, Attach: 1, FirstSeq: 4, AnswersThrough: 2, List: []Outcome{{Token: 3}}}})
	d.load(t) // compares each row with what it was
}
