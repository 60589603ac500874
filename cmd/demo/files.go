package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
)

// filesMax bounds the demo: its evidence is held in memory.
const filesMax = 1_000_000

// input is the files that are submitted, one task each.
type input struct {
	root       string
	paths      []string // relative to root, in the order of the walk
	bytes      int64
	unreadable int // left out
}

// listFiles finds the regular files under root. Symbolic links aren't followed.
func listFiles(root string) (*input, error) {
	in := &input{root: root}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && path == root:
			return err
		case err != nil:
			in.unreadable++
			return nil //nolint:nilerr // it is counted
		case !entry.Type().IsRegular():
			return nil
		}
		size, err := readable(path)
		if err != nil {
			in.unreadable++
			return nil //nolint:nilerr // counted, and told in the report
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if len(in.paths) == filesMax {
			return fmt.Errorf("more than %s files: choose a smaller directory", number(filesMax))
		}
		in.paths, in.bytes = append(in.paths, rel), in.bytes+size
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", root, err)
	}
	if len(in.paths) == 0 {
		return nil, fmt.Errorf("no readable regular file under %s", root)
	}
	return in, nil
}

func readable(path string) (size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// digests are the SHA-256 of an input's files in hex, by position; a file that could not be read has none.
type digests []string

// digestAll computes what the workers are to find, with code of its own; it stops early when stop is closed.
func digestAll(in *input, stop <-chan struct{}) digests {
	all := make(digests, len(in.paths))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					return
				}
				select {
				case <-stop:
					return
				default:
				}
				if sum, err := digest(filepath.Join(in.root, in.paths[i])); err == nil {
					all[i] = sum
				}
			}
		})
	}
	wg.Wait()
	return all
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
