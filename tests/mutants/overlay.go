package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/format"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
)

// Mutate returns the files that a mutant changes, by path from the root, as they are with its bug. An error says that it
// is stale, isn't Go any more, or changes nothing but comments and layout.
func (m *Mutant) Mutate(root string) (map[string][]byte, error) {
	was, now := map[string]string{}, map[string]string{}
	for i := range m.Edits {
		e := &m.Edits[i]
		if _, ok := was[e.File]; !ok {
			text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.File)))
			if err != nil {
				return nil, fmt.Errorf("stale: %w", err)
			}
			was[e.File] = string(text)
			now[e.File] = string(text)
		}
		text, err := e.apply(now[e.File])
		if err != nil {
			return nil, err
		}
		now[e.File] = text
	}
	files := map[string][]byte{}
	for file, text := range now {
		before, err := bare(file, was[file])
		if err != nil {
			return nil, err
		}
		after, err := bare(file, text)
		if err != nil {
			return nil, fmt.Errorf("with the bug it is no Go: %w", err)
		}
		if bytes.Equal(before, after) {
			return nil, fmt.Errorf("it changes nothing in %s", file)
		}
		if files[file], err = format.Source([]byte(text)); err != nil {
			return nil, fmt.Errorf("format %s: %w", file, err)
		}
		if string(files[file]) != text {
			return nil, fmt.Errorf("with the bug %s isn't formatted as gofmt does: indent the text as it would stand there", file)
		}
	}
	return files, nil
}

// bare prints a file without comments: what the compiler sees of it.
func bare(file, text string) ([]byte, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, file, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = (&printer.Config{Mode: printer.RawFormat}).Fprint(&b, fset, tree)
	return bytes.Join(bytes.Fields(b.Bytes()), []byte(" ")), err
}

// WriteOverlay writes a mutant's files and their overlay.json below dir, and returns the path of the latter.
func (m *Mutant) WriteOverlay(root, dir string) (string, error) {
	files, err := m.Mutate(root)
	if err != nil {
		return "", err
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range files {
		copied := filepath.Join(dir, "files", filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(copied), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(copied, text, 0o600); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(root, filepath.FromSlash(file))] = copied
	}
	data, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, data, 0o600)
}

// Packages returns the packages that a mutant changes, as ./internal/scheduler.
func (m *Mutant) Packages() []string {
	var all []string
	for i := range m.Edits {
		all = append(all, "./"+filepath.ToSlash(filepath.Dir(m.Edits[i].File)))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
