package store

import (
	"encoding/binary"
	"fmt"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"
)

// Keys of the meta bucket. They are stored.
var (
	keyManifest = []byte("manifest") // Manifest
	keyCounts   = []byte("counts")   // tally's own counts, 8 bytes each
	keySnapshot = []byte("snapshot") // what consensus keeps here
)

// Places of the meta bucket's values.
const (
	placeManifest = iota + 1
	placeCounts
	placeSnapshot
)

// tally says what the file holds. Every transaction that changes a count writes
// it too.
type tally struct {
	format                     uint32 // as read; what is written has FormatVersion
	index                      uint64
	logic                      uint32
	rows                       [tableCount]uint64 // by table number
	bodies, failures, finished uint64
	dead                       uint64 // of finished; not counted in format 1
}

func (t *tally) put(tx *bbolt.Tx) error {
	m := &storagev1.Manifest{Format: FormatVersion, Index: t.index, Logic: t.logic, Rows: map[uint32]uint64{}}
	for table := 1; table < tableCount; table++ {
		m.Rows[uint32(table)] = t.rows[table]
	}
	manifest, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err
	}
	var counts []byte
	for _, n := range []uint64{t.bodies, t.failures, t.finished, t.dead} {
		counts = binary.BigEndian.AppendUint64(counts, n)
	}
	if err := putMeta(tx, keyManifest, manifest, placeManifest); err != nil {
		return err
	}
	return putMeta(tx, keyCounts, counts, placeCounts)
}

// readTally reads what a file says of itself, and refuses another format.
func readTally(tx *bbolt.Tx) (t tally, err error) {
	if tx.Bucket(bucketMeta) == nil {
		return t, fmt.Errorf("%w: %s has no manifest", ErrNotCheckpoint, tx.DB().Path())
	}
	data, err := getMeta(tx, keyManifest, placeManifest)
	if err != nil {
		return t, err
	}
	m := new(storagev1.Manifest)
	if err := proto.Unmarshal(data, m); err != nil {
		return t, fmt.Errorf("%w: manifest: %w", ErrDamaged, err)
	}
	if m.GetFormat() > FormatVersion {
		return t, fmt.Errorf("%w: %s has format %d, this build knows 1 to %d: start the build that wrote it, or a newer one, or restore a backup that an older one made",
			ErrNewerFormat, tx.DB().Path(), m.GetFormat(), FormatVersion)
	}
	if m.GetFormat() == 0 {
		return t, fmt.Errorf("%w: manifest without a format", ErrDamaged)
	}
	t.format, t.index, t.logic = m.GetFormat(), m.GetIndex(), m.GetLogic()
	for table, n := range m.GetRows() {
		if table == 0 || int(table) >= tableCount {
			return t, fmt.Errorf("%w: manifest counts rows of an unknown table %d", ErrDamaged, table)
		}
		t.rows[table] = n
	}
	counts, err := getMeta(tx, keyCounts, placeCounts)
	if err != nil {
		return t, err
	}
	own := []*uint64{&t.bodies, &t.failures, &t.finished, &t.dead}
	if t.format == 1 {
		own = own[:3]
	}
	if len(counts) != 8*len(own) {
		return t, fmt.Errorf("%w: counts have %d bytes", ErrDamaged, len(counts))
	}
	for i, n := range own {
		*n = binary.BigEndian.Uint64(counts[8*i:])
	}
	return t, nil
}

func putMeta(tx *bbolt.Tx, key, data []byte, where uint64) error {
	b, err := openBucket(tx, bucketMeta)
	if err != nil {
		return err
	}
	return b.Put(key, seal(append([]byte(nil), data...), 0, place(tagMeta, where)))
}

// getMeta returns a value of the meta bucket: a copy.
func getMeta(tx *bbolt.Tx, key []byte, where uint64) ([]byte, error) {
	b, err := openBucket(tx, bucketMeta)
	if err != nil {
		return nil, err
	}
	value := b.Get(key)
	if value == nil {
		return nil, fmt.Errorf("%w: %s is missing", ErrDamaged, key)
	}
	data, whole := unseal(value, place(tagMeta, where))
	if !whole {
		return nil, fmt.Errorf("%w: %s doesn't match its checksum", ErrDamaged, key)
	}
	return append([]byte(nil), data...), nil
}
