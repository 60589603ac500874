package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Mutant is a planted bug.
type Mutant struct {
	Name   string // of its file, without the suffix
	Bug    string
	Breaks []Invariant
	NoSim  string // why the simulator can't catch it; empty: it has to
	Test   Test   // zero: none
	Edits  []Edit
}

// Test is a package, a pattern of its tests, and what else its program is told.
type Test struct{ Package, Run, Args string }

// Edit replaces one text of one file.
type Edit struct {
	File      string // from the root of the repository, with slashes
	Find, Put string // whole lines, without the last line's end
}

const (
	mutantSuffix = ".mutant"
	mutantsMax   = 500
)

// LoadMutants reads all mutants of a directory, by name.
func LoadMutants(dir string) ([]*Mutant, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"+mutantSuffix))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 || len(files) > mutantsMax {
		return nil, fmt.Errorf("%s holds %d mutants, want 1 to %d", dir, len(files), mutantsMax)
	}
	var all []*Mutant
	var errs []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		m, err := ParseMutant(strings.TrimSuffix(filepath.Base(file), mutantSuffix), string(text))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
			continue
		}
		all = append(all, m)
	}
	return all, errors.Join(errs...)
}

// ParseMutant reads a mutant's text.
func ParseMutant(name, text string) (*Mutant, error) {
	m := &Mutant{Name: name}
	head, edits, _ := strings.Cut(text, "\n===")
	fields, err := parseFields(head)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if err := m.set(f.key, f.value); err != nil {
			return nil, err
		}
	}
	if edits != "" {
		edits = "===" + edits
	}
	if m.Edits, err = parseEdits(edits); err != nil {
		return nil, err
	}
	switch {
	case m.Bug == "":
		return nil, errors.New("the field bug is missing: say what the bug is")
	case len(m.Breaks) == 0:
		return nil, fmt.Errorf("the field breaks is missing: name invariants, 1 to %d", InvariantMax)
	case m.NoSim != "" && m.Test == Test{}:
		return nil, errors.New("the simulator can't catch it and the field test is missing: name a package and a pattern")
	}
	return m, nil
}

type field struct{ key, value string }

// parseFields reads lines "key: value"; a line that begins with white space goes on with the one before.
func parseFields(head string) ([]field, error) {
	var all []field
	seen := map[string]bool{}
	for line := range strings.Lines(head) {
		text := strings.TrimSpace(line)
		if text == "" {
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			if len(all) == 0 {
				return nil, fmt.Errorf("the first line %q goes on with none", text)
			}
			all[len(all)-1].value += " " + text
			continue
		}
		key, value, ok := strings.Cut(text, ":")
		if !ok || seen[key] {
			return nil, fmt.Errorf("line %q: want a field and its value, each field once", text)
		}
		seen[key] = true
		all = append(all, field{key, strings.TrimSpace(value)})
	}
	return all, nil
}

func (m *Mutant) set(key, value string) error {
	switch key {
	case "bug":
		m.Bug = value
	case "breaks":
		for _, number := range strings.Fields(strings.ReplaceAll(value, ",", " ")) {
			n, err := strconv.Atoi(number)
			if err != nil || n < 1 || n > InvariantMax {
				return fmt.Errorf("breaks %q: want numbers of invariants, 1 to %d", value, InvariantMax)
			}
			m.Breaks = append(m.Breaks, Invariant(n))
		}
	case "sim":
		why, no := strings.CutPrefix(value, "no:")
		if m.NoSim = strings.TrimSpace(why); no && m.NoSim == "" || !no && value != "yes" {
			return fmt.Errorf("sim %q: want yes, or no: and why", value)
		}
		if !no {
			m.NoSim = ""
		}
	case "test":
		pkg, rest, ok := strings.Cut(value, " ")
		run, args, _ := strings.Cut(rest, " ")
		if _, err := regexp.Compile(run); !ok || err != nil || !strings.HasPrefix(pkg, "./") {
			return fmt.Errorf("test %q: want a package as ./internal/scheduler, a pattern of its tests, and maybe arguments", value)
		}
		m.Test = Test{pkg, run, args}
	default:
		return fmt.Errorf("there is no field %q: want bug, breaks, sim, test", key)
	}
	return nil
}
