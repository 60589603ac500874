package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/yardmaster/yardmaster/internal/settings"
)

// contexts is the user's file of named clusters.
type contexts struct {
	Current  string                 `yaml:"current,omitempty"`
	Contexts map[string]contextSpec `yaml:"contexts"`
}

type contextSpec struct {
	Addresses []string `yaml:"addresses,flow"`
}

// contextWords are the file's words for what it is read into.
var contextWords = settings.Words{
	"main.contexts": "the contexts file (of current and contexts)", "main.contextSpec": "a context (of addresses)",
	"map[string]main.contextSpec": "contexts by name",
}

// names lists the contexts in order.
func (f *contexts) names() []string { return slices.Sorted(maps.Keys(f.Contexts)) }

// noContext says that a name is not in the file, and which are.
func noContext(path, name string, file contexts) error {
	if len(file.Contexts) == 0 {
		return usagef("%s has no context %q, and no other; yardctl context set %s HOST:PORT makes it", path, name, name)
	}
	return usagef("%s has no context %q; it has: %s", path, name, strings.Join(file.names(), ", "))
}

// contextsPath is where the file is.
func contextsPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("%w: %w", fs.ErrNotExist, err) // no home, no file
	}
	return filepath.Join(dir, "yardmaster", "contexts.yaml"), nil
}

func readContexts() (contexts, string, error) {
	path, err := contextsPath()
	if err != nil {
		return contexts{}, "", err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return contexts{}, path, err
	}
	var file contexts
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return contexts{}, path, fmt.Errorf("%s: %w", path, settings.YAMLError(err, contextWords))
	}
	return file, path, nil
}

// changeContexts reads the file, or begins one, changes it and writes it back: whole or not at all, for this user's eyes.
// Comments in it are not kept.
func changeContexts(change func(file *contexts, path string) error) error {
	file, path, err := readContexts()
	switch {
	case path == "":
		return usagef("there is no place for the contexts file: %w", err)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return usagef("read the contexts file: %w", err)
	}
	if file.Contexts == nil {
		file.Contexts = map[string]contextSpec{}
	}
	if err := change(&file, path); err != nil {
		return err
	}
	if err := writeContexts(path, file); err != nil {
		return fmt.Errorf("write the contexts file: %w", err)
	}
	return nil
}

func writeContexts(path string, file contexts) (err error) {
	var data bytes.Buffer
	encoder := yaml.NewEncoder(&data)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(file), encoder.Close()); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".contexts-*.yaml") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	_, written := temp.Write(data.Bytes())
	if err := errors.Join(written, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
