package store

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
)

// Of bbolt's file format, version 2, whose numbers are in the machine's byte order.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHead     = 16 // id 8, flags 2, count 2, overflow 4
	elementBytes = 16 // of a branch: position 4, key 4, page 8; of a leaf: flags 4, position 4, key 4, value 4
	bucketHead   = 16 // root 8, sequence 8, in front of a bucket's value
	metaBytes    = 64 // magic, version, page size, flags 4 each; root 8, sequence 8, free list, pages, transaction, checksum 8 each

	pageBranch   = 0x01
	pageLeaf     = 0x02
	pageFreeList = 0x10

	leafBucket    = 0x01  // flag of a leaf's element
	freeListLarge = 65535 // count of a free list that has its count as first entry
	noFreeList    = ^uint64(0)
)

// depthMax is how deep a tree of pages may be: bbolt's have a handful of levels.
const depthMax = 1000

// pages walks the pages of a checkpoint that nobody writes, before bbolt does. It finds references out of the file, to
// the wrong page, and to one twice: bbolt follows those without looking, so that it reads for ever along a ring of pages,
// or faults in a goroutine of its own, which nothing here could catch.
type pages struct {
	file   []byte
	size   uint64 // of a page, in bytes
	pages  uint64 // in use, from the file's beginning
	seen   []bool
	depth  int
	leaves bool // look into leaves too: not needed for reads, whose faults guard catches
}

var native = binary.NativeEndian

// checkPages returns the first thing that is wrong with the tree of pages in a file's bytes. A file that bbolt doesn't even
// open is left to it.
func checkPages(file []byte, leaves bool) error {
	m := newestMeta(file)
	if m == nil {
		return nil
	}
	w := &pages{file: file, size: uint64(native.Uint32(m[8:])), pages: native.Uint64(m[40:]), leaves: leaves}
	if w.size < 512 || w.pages < 2 {
		return nil
	}
	if w.pages > uint64(len(file))/w.size {
		return fmt.Errorf("%w: it has %d bytes and should have %d: its end is missing, restore a backup", ErrDamaged, len(file), w.pages*w.size)
	}
	w.seen = make([]bool, w.pages)
	w.seen[0], w.seen[1] = true, true
	if err := w.freeList(native.Uint64(m[32:])); err != nil {
		return fmt.Errorf("%w: pages: %w; restore a backup", ErrDamaged, err)
	}
	if err := w.tree(native.Uint64(m[16:])); err != nil {
		return fmt.Errorf("%w: pages: %w; restore a backup", ErrDamaged, err)
	}
	return nil
}

// newestMeta finds the description of the file that bbolt would take; nil: there is none.
func newestMeta(file []byte) []byte {
	var best []byte
	take := func(at int) bool {
		if at+pageHead+metaBytes > len(file) {
			return false
		}
		m := file[at+pageHead:][:metaBytes]
		sum := fnv.New64a()
		_, _ = sum.Write(m[:metaBytes-8])
		if native.Uint32(m) != boltMagic || native.Uint32(m[4:]) != boltVersion || native.Uint64(m[56:]) != sum.Sum64() {
			return false
		}
		if best == nil || native.Uint64(m[48:]) > native.Uint64(best[48:]) {
			best = m
		}
		return true
	}
	take(0)
	for size := 1024; size <= 16<<20 && !(take(size) && int(native.Uint32(file[size+pageHead+8:])) == size); size *= 2 {
	}
	return best
}

// span returns the bytes of a page and of those that it goes on in, and claims them.
func (w *pages) span(id uint64) ([]byte, error) {
	if id < 2 || id >= w.pages {
		return nil, fmt.Errorf("page %d: out of bounds: there are %d", id, w.pages)
	}
	p := w.file[id*w.size:]
	if self := native.Uint64(p); self != id {
		return nil, fmt.Errorf("page %d: it calls itself %d", id, self)
	}
	over := uint64(native.Uint32(p[12:]))
	if over >= w.pages-id {
		return nil, fmt.Errorf("page %d: it goes on for %d pages, out of bounds: there are %d", id, over, w.pages)
	}
	for i := id; i <= id+over; i++ {
		if w.seen[i] {
			return nil, fmt.Errorf("page %d: multiple references", i)
		}
		w.seen[i] = true
	}
	return p[:(over+1)*w.size], nil
}

func (w *pages) freeList(id uint64) error {
	if id == noFreeList {
		return nil
	}
	p, err := w.span(id)
	if err != nil {
		return fmt.Errorf("free list: %w", err)
	}
	n, at := uint64(native.Uint16(p[10:])), uint64(pageHead)
	if n == freeListLarge {
		n, at = native.Uint64(p[pageHead:]), pageHead+8
	}
	if flags := native.Uint16(p[8:]); flags != pageFreeList || n > (uint64(len(p))-at)/8 {
		return fmt.Errorf("free list: page %d: flags %#x, %d entries in %d bytes", id, flags, n, len(p))
	}
	for ; n > 0; n, at = n-1, at+8 { // a page in use mustn't be among them: it would be written over
		free := native.Uint64(p[at:])
		if free < 2 || free >= w.pages {
			return fmt.Errorf("free list: page %d: out of bounds: there are %d", free, w.pages)
		}
		if w.seen[free] {
			return fmt.Errorf("free list: page %d: multiple references", free)
		}
		w.seen[free] = true
	}
	return nil
}

// tree walks a bucket's tree from its root.
func (w *pages) tree(id uint64) error {
	if w.depth++; w.depth > depthMax {
		return fmt.Errorf("page %d: it lies %d levels deep", id, w.depth)
	}
	defer func() { w.depth-- }()
	p, err := w.span(id)
	if err != nil {
		return err
	}
	flags, count := native.Uint16(p[8:]), int(native.Uint16(p[10:]))
	if flags != pageBranch && flags != pageLeaf {
		return fmt.Errorf("page %d: invalid type %#x", id, flags)
	}
	if pageHead+count*elementBytes > len(p) {
		return fmt.Errorf("page %d: %d elements in %d bytes", id, count, len(p))
	}
	if flags == pageLeaf {
		return w.leaf(id, p)
	}
	if count == 0 {
		return fmt.Errorf("page %d: a branch without children", id)
	}
	for i := range count {
		at := pageHead + i*elementBytes
		e := p[at:]
		if uint64(at)+uint64(native.Uint32(e))+uint64(native.Uint32(e[4:])) > uint64(len(p)) {
			return fmt.Errorf("page %d: key %d lies out of it", id, i)
		}
		if err := w.tree(native.Uint64(e[8:])); err != nil {
			return err
		}
	}
	return nil
}

// leaf looks at the elements of a leaf, and goes on in the trees of the buckets among them.
func (w *pages) leaf(id uint64, p []byte) error {
	count := int(native.Uint16(p[10:]))
	if pageHead+count*elementBytes > len(p) {
		return fmt.Errorf("page %d: %d elements in %d bytes", id, count, len(p))
	}
	for i := range count {
		at := pageHead + i*elementBytes
		e := p[at:]
		bucket := native.Uint32(e)&leafBucket != 0
		if !bucket && !w.leaves {
			continue
		}
		from := uint64(at) + uint64(native.Uint32(e[4:])) + uint64(native.Uint32(e[8:]))
		to := from + uint64(native.Uint32(e[12:]))
		if to > uint64(len(p)) {
			return fmt.Errorf("page %d: element %d lies out of it", id, i)
		}
		if !bucket {
			continue
		}
		if err := w.bucket(id, p[from:to]); err != nil {
			return err
		}
	}
	return nil
}

// bucket follows a bucket's value: to its root, or, for a small bucket, into the leaf that stands in it.
func (w *pages) bucket(id uint64, value []byte) error {
	if len(value) < bucketHead {
		return fmt.Errorf("page %d: a bucket of %d bytes", id, len(value))
	}
	if root := native.Uint64(value); root != 0 {
		return w.tree(root)
	}
	inline := value[bucketHead:]
	if len(inline) < pageHead || native.Uint16(inline[8:]) != pageLeaf {
		return fmt.Errorf("page %d: a bucket in it is no leaf", id)
	}
	return w.leaf(id, inline)
}
