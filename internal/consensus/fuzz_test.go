package consensus

import (
	"encoding/json"
	"io"
	"reflect"
	"testing"

	"github.com/hashicorp/raft"
)

// blobDisk is a Disk that holds a record of a snapshot and nothing else.
type blobDisk struct {
	Disk
	blob []byte
}

func (d *blobDisk) SnapshotMeta() ([]byte, error) { return d.blob, nil }

func (d *blobDisk) PutSnapshotMeta(data []byte) error {
	d.blob = append([]byte{}, data...)
	return nil
}

func (d *blobDisk) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write([]byte("body"))
	return int64(n), err
}

// FuzzSnapshotRecord: a snapshot's record of any bytes is refused, or is what raft is told; a start from it, at any place
// of log and checkpoint, is refused or loses nothing; and the next record stands on it.
func FuzzSnapshotRecord(f *testing.F) {
	record := snapshotRecord{Version: snapshotVersion, Index: 9, Term: 2, ConfigurationIndex: 1, Floor: 12,
		Configuration: raft.Configuration{Servers: []raft.Server{{ID: "1", Address: "a"}}}}
	good, err := json.Marshal(record)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, uint64(9), uint64(1), uint64(12), uint64(2), uint64(2))
	f.Add(good, uint64(12), uint64(0), uint64(0), uint64(0), uint64(2))
	for _, text := range []string{"", "null", "{}", `{"version":2}`, `{"version":1,"index":-1}`, `{"version":1,"index":18446744073709551615,"term":18446744073709551615}`, "[", `{"version":1,"configuration":{"Servers":null}}`} {
		f.Add([]byte(text), uint64(1), uint64(1), uint64(1), uint64(1), uint64(1))
	}
	f.Fuzz(func(t *testing.T, blob []byte, disk, first, last, lastTerm, term uint64) {
		if len(blob) > 64<<10 {
			return
		}
		d := &blobDisk{blob: blob}
		s, err := openSnapshots(d, t.TempDir())
		if err != nil {
			return
		}
		record := s.last()
		list, err := s.List()
		if err != nil || len(list) != min(int(min(record.Index, 1)), 1) {
			t.Fatalf("%+v is listed as %d: %v", record, len(list), err)
		}
		for _, m := range list {
			meta, body, err := s.Open(m.ID)
			if err != nil || meta.Index != record.Index || meta.Term != record.Term {
				t.Fatalf("%+v opens as %+v: %v", record, meta, err)
			}
			if err := body.Close(); err != nil {
				t.Fatal(err)
			}
		}
		p := position{snapshot: record, disk: disk, first: first, last: last, lastTerm: lastTerm, term: term}
		if p.check() == nil {
			if disk < record.Index || last > 0 && first > record.Index+1 && record.Index != 1<<64-1 || p.end() < record.Index || disk > max(p.end(), record.Floor) {
				t.Fatalf("a start from %+v loses commands", p)
			}
		}
		sink, err := s.Create(raft.SnapshotVersionMax, disk, term, record.Configuration, first, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := openSnapshots(d, "")
		if err != nil || !reflect.DeepEqual(again.last(), s.last()) || again.last().Floor < record.Floor && disk < record.Floor {
			t.Fatalf("%+v was written and read again as %+v: %v", s.last(), again, err)
		}
	})
}
