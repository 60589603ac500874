package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/yardmaster/yardmaster/client"
	"github.com/yardmaster/yardmaster/internal/settings"
)

// addresses finds the coordinators: flag before environment before file before default.
func (a *app) addresses() ([]string, error) {
	switch {
	case a.flags.addr != "" && a.flags.context != "":
		return nil, usagef("--addr and --context exclude each other")
	case a.flags.addr != "":
		return checkedAddresses("--addr", splitAddresses(a.flags.addr))
	case a.flags.context != "":
		return contextAddresses(a.flags.context)
	case os.Getenv("YARD_ADDR") != "":
		return checkedAddresses("YARD_ADDR", splitAddresses(os.Getenv("YARD_ADDR")))
	default:
		return contextAddresses(os.Getenv("YARD_CONTEXT"))
	}
}

// checkedAddresses refuses what isn't HOST:PORT; from says who named it.
func checkedAddresses(from string, addresses []string) ([]string, error) {
	for _, address := range addresses {
		if err := settings.CheckTarget(from, address); err != nil {
			return nil, usageError{err}
		}
	}
	return addresses, nil
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
		switch missing := errors.Is(err, fs.ErrNotExist); {
		case missing && name == "":
			return []string{client.DefaultAddress}, nil
		case missing && path != "":
			return nil, noContext(path, name, contexts{})
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
		return nil, noContext(path, name, file)
	case len(found.Addresses) == 0:
		return nil, usagef("context %q in %s names no addresses", name, path)
	}
	return checkedAddresses(fmt.Sprintf("context %s: address", name), found.Addresses)
}
