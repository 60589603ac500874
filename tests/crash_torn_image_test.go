//go:build e2e && crash

package tests

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"
)

// platter is what a disk holds, and what it may hold after a loss of power. It promises what POSIX does and no more: a
// file's data is durable once the file was fsynced, a name once its directory was. Of the rest a loss of power leaves any
// part of the data, and any beginning of a directory's changes.
type platter struct {
	names   map[string]*inode // as processes see them
	durable map[string]*inode
	changes map[string][]renaming // of a directory that wasn't fsynced since
	seq     int
	syncs   map[int]syncing
}

// inode is a file or a directory.
type inode struct {
	dir     bool
	data    []byte // durable
	pending []pending
}

// pending is a write, or a change of size if it has no data, that wasn't fsynced.
type pending struct {
	seq, step int
	off       int64
	data      []byte
}

// renaming is one of a directory's names: put, or removed if node is nil. A rename is both.
type renaming struct {
	seq        int
	path, gone string
	node       *inode
}

type syncing struct {
	seq  int
	path string
	node *inode
}

func newPlatter() *platter {
	root := &inode{dir: true}
	return &platter{names: map[string]*inode{".": root}, durable: map[string]*inode{".": root}, changes: map[string][]renaming{}, syncs: map[int]syncing{}}
}

// apply takes the next step.
func (p *platter) apply(i int, s *step) {
	p.seq++
	node := p.names[s.path]
	switch s.op {
	case "create", "mkdir":
		if node == nil {
			p.change(renaming{path: s.path, node: &inode{dir: s.op == "mkdir"}})
		}
	case "link":
		p.change(renaming{path: s.to, node: node})
	case "rename":
		p.change(renaming{path: s.to, gone: s.path, node: node})
	case "unlink":
		p.change(renaming{gone: s.path})
	case "write", "size":
		data := s.data
		if s.cut {
			data = s.left
		}
		if node != nil && (s.op == "size" || len(data) > 0) {
			node.pending = append(node.pending, pending{p.seq, i, s.off, data})
		}
	case "sync":
		p.syncs[s.call] = syncing{p.seq, s.path, node}
	case "synced":
		p.synced(p.syncs[s.call])
		delete(p.syncs, s.call)
	}
}

func (p *platter) change(c renaming) {
	c.seq = p.seq
	c.make(p.names)
	dir := path.Dir(c.path)
	if c.path == "" {
		dir = path.Dir(c.gone)
	}
	p.changes[dir] = append(p.changes[dir], c)
}

func (c *renaming) make(names map[string]*inode) {
	delete(names, c.gone)
	if c.path != "" {
		names[c.path] = c.node
	}
}

// synced makes durable what stood before the call began.
func (p *platter) synced(s syncing) {
	if s.node == nil {
		return // it was opened before the tape
	}
	if s.node.dir {
		list := p.changes[s.path]
		for len(list) > 0 && list[0].seq < s.seq {
			list[0].make(p.durable)
			list = list[1:]
		}
		p.changes[s.path] = list
		return
	}
	for len(s.node.pending) > 0 && s.node.pending[0].seq < s.seq {
		s.node.data = s.node.pending[0].on(s.node.data)
		s.node.pending = s.node.pending[1:]
	}
}

// on makes a write, or a change of size.
func (w *pending) on(data []byte) []byte {
	end := int(w.off) + len(w.data)
	if w.data == nil && end < len(data) {
		return data[:end]
	}
	if end > len(data) {
		data = append(data, make([]byte, end-len(data))...)
	}
	copy(data[w.off:], w.data)
	return data
}

// torn draws one of the images that a loss of power may leave now: of the files' data each sector, or page, of each
// write has come or not.
func (p *platter) torn(rng *rand.Rand) map[string]*inode {
	sector := []int{512, 512, 4096}[rng.IntN(3)]
	come := []int{0, 1, 2, 3, 4}[rng.IntN(5)] // of 4
	names := maps.Clone(p.durable)
	for _, dir := range slices.Sorted(maps.Keys(p.changes)) {
		list := p.changes[dir]
		for i := range list[:rng.IntN(len(list)+1)] {
			list[i].make(names)
		}
	}
	image := map[string]*inode{}
	drawn := map[*inode]*inode{} // one with two names is drawn once
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if image[path.Dir(name)] == nil && name != "." {
			continue // in a directory that has no name
		}
		node := names[name]
		if drawn[node] == nil {
			drawn[node] = node.torn(rng, sector, come)
		}
		image[name] = drawn[node]
	}
	return image
}

func (n *inode) torn(rng *rand.Rand, sector, come int) *inode {
	if n.dir {
		return n
	}
	data := bytes.Clone(n.data) // the platter goes on
	for _, w := range n.pending {
		if w.data == nil {
			if rng.IntN(4) < come {
				data = w.on(data)
			}
			continue
		}
		for from := 0; from < len(w.data); {
			to := min(len(w.data), from+sector-(int(w.off)+from)%sector)
			if rng.IntN(4) < come {
				part := pending{off: w.off + int64(from), data: w.data[from:to]}
				data = part.on(data)
			}
			from = to
		}
	}
	return &inode{data: data}
}

// settled is what a platter holds that was made of an image.
func settled(image map[string]*inode) *platter {
	p := newPlatter()
	for name, n := range image {
		p.durable[name] = &inode{dir: n.dir, data: bytes.Clone(n.data)}
	}
	p.names = maps.Clone(p.durable)
	return p
}

var noPage [4096]byte

// writeImage makes the files of an image, with holes where there is nothing.
func writeImage(t *testing.T, dir string, image map[string]*inode) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(image)) {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if image[name].dir {
			if err := os.Mkdir(file, 0o700); err != nil && name != "." {
				t.Fatal(err)
			}
			continue
		}
		if err := writeSparse(file, image[name].data); err != nil {
			t.Fatal(err)
		}
	}
}

func writeSparse(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for at := 0; at < len(data); at += len(noPage) {
		page := data[at:min(len(data), at+len(noPage))]
		if bytes.Equal(page, noPage[:len(page)]) {
			continue
		}
		if _, err := f.WriteAt(page, int64(at)); err != nil {
			return err
		}
	}
	return f.Truncate(int64(len(data)))
}
