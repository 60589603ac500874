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

	"github.com/yardmaster/yardmaster/client"
)

// contexts is the user's file of named clusters.
type contexts struct {
	Current  string                 `yaml:"current"`
	Contexts map[string]contextSpec `yaml:"contexts"`
}

type contextSpec struct {
	Addresses []string `yaml:"addresses"`
}

// addresses finds the coordinators: flag before environment before file before default.
func (a *app) addresses() ([]string, error) {
	switch {
	case a.flags.addr != "" && a.flags.context != "":
		return nil, usagef("--addr and --context exclude each other")
	case a.flags.addr != "":
		return splitAddresses(a.flags.addr), nil
	case a.flags.context != "":
		return contextAddresses(a.flags.context)
	case os.Getenv("YARD_ADDR") != "":
		return splitAddresses(os.Getenv("YARD_ADDR")), nil
	default:
		return contextAddresses(os.Getenv("YARD_CONTEXT"))
	}
}

func splitAddresses(list string) []string {
	var addresses []string
	for address := range strings.SplitSeq(list, ",") {
		addresses = append(addresses, strings.TrimSpace(address))
	}
	return addresses
}

// contextAddresses looks a context up; the name "" is the file's current one, or if there is none the default address.
func contextAddresses(name string) ([]string, error) {
	file, path, err := readContexts()
	if err != nil {
		if name == "" && errors.Is(err, fs.ErrNotExist) {
			return []string{client.DefaultAddress}, nil
		}
		return nil, usageError{fmt.Errorf("read the contexts file: %w", err)}
	}
	if name == "" {
		if name = file.Current; name == "" {
			return []string{client.DefaultAddress}, nil
		}
	}
	found, ok := file.Contexts[name]
	switch {
	case !ok:
		known := slices.Sorted(maps.Keys(file.Contexts))
		return nil, usagef("%s has no context %q; it has: %s", path, name, strings.Join(known, ", "))
	case len(found.Addresses) == 0:
		return nil, usagef("context %q in %s names no addresses", name, path)
	}
	return found.Addresses, nil
}

func readContexts() (contexts, string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return contexts{}, "", fmt.Errorf("%w: %w", fs.ErrNotExist, err) // no home, no file
	}
	path := filepath.Join(dir, "yardmaster", "contexts.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		return contexts{}, path, err
	}
	var file contexts
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return contexts{}, path, fmt.Errorf("%s: %w", path, err)
	}
	return file, path, nil
}
