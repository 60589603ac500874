// Package settings gives a server's flags their values: flag > environment (YARD_…) > file (--config) > default.
//
// A file is YAML whose keys are names of flags; a list sets a repeatable flag. The environment's name of a flag is YARD_
// and its name in capitals, with _ for -. Unknown keys are refused by name. Errors are the user's: exit code 2.
package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// ExitUsage is the exit code for bad usage or configuration.
const ExitUsage = 2

// FileBytesMax bounds a configuration file.
const FileBytesMax = 1 << 20

// Source is where values come from besides the arguments.
type Source struct {
	LookupEnv func(string) (string, bool)
	ReadFile  func(string) ([]byte, error)
}

// AddConfig adds the flags that Apply itself needs.
func AddConfig(fs *pflag.FlagSet) {
	fs.String("config", "", "YAML `FILE` of settings: keys are the names of these flags")
	fs.Bool("print-config", false, "print the settings in force as YAML, then exit")
	fs.Bool("check-config", false, "check the settings, then exit: 0 good, 2 not")
}

// Apply parses the arguments and fills in what they leave open from the environment, then from the file.
func Apply(fs *pflag.FlagSet, args []string, src Source) error {
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: see --help", fs.Arg(0))
	}
	if err := ApplyEnvironment(fs, src.LookupEnv); err != nil {
		return err
	}
	path, err := fs.GetString("config")
	if err != nil || path == "" {
		return err
	}
	return applyFile(fs, path, src.ReadFile)
}

// ApplyEnvironment fills in what the arguments, which are parsed, leave open.
func ApplyEnvironment(fs *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var errs []error
	fs.VisitAll(func(f *pflag.Flag) {
		if v, ok := lookup(envName(f.Name)); ok && !f.Changed && !local(f.Name) {
			if err := fs.Set(f.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("environment variable %s: %w", envName(f.Name), err))
			}
		}
	})
	return errors.Join(errs...)
}

// local reports whether a flag asks for an action of this one call.
func local(name string) bool {
	return slices.Contains([]string{"help", "version", "print-config", "check-config"}, name)
}

func envName(flag string) string {
	return "YARD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func applyFile(fs *pflag.FlagSet, path string, read func(string) ([]byte, error)) error {
	data, err := read(path)
	if err != nil {
		return fmt.Errorf("read --config: %w", err)
	}
	if len(data) > FileBytesMax {
		return fmt.Errorf("--config %s: %d bytes, at most %d are read", path, len(data), FileBytesMax)
	}
	values, err := readSettings(data)
	if err != nil {
		return fmt.Errorf("--config %s: %w", path, err)
	}
	var errs []error
	for _, name := range sortedKeys(values) {
		node := values[name]
		f := fs.Lookup(name)
		if f == nil || local(name) || name == "config" {
			errs = append(errs, fmt.Errorf("--config %s line %d: unknown setting %q: the names are those of the flags, see --help",
				path, node.Line, name))
			continue
		}
		if f.Changed {
			continue
		}
		if err := setNode(fs, name, &node); err != nil {
			errs = append(errs, fmt.Errorf("--config %s line %d: %s: %w", path, node.Line, name, err))
		}
	}
	return errors.Join(errs...)
}

// readSettings reads a file's one document. An empty file has no settings.
func readSettings(data []byte) (map[string]yaml.Node, error) {
	var values map[string]yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return nil, YAMLError(err, Words{"map[string]yaml.Node": "settings, as NAME: VALUE"})
	}
	if err := dec.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("it must be one document: what follows --- would not be read")
	}
	return values, nil
}

func sortedKeys(m map[string]yaml.Node) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func setNode(fs *pflag.FlagSet, name string, node *yaml.Node) error {
	switch node.Kind {
	case yaml.ScalarNode:
		value, err := text(node)
		if err != nil {
			return err
		}
		return fs.Set(name, value)
	case yaml.SequenceNode:
		list, ok := fs.Lookup(name).Value.(pflag.SliceValue)
		if !ok {
			return errors.New("a list where one value is wanted")
		}
		var values []string
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return errors.New("a list of plain values is wanted")
			}
			value, err := text(item)
			if err != nil {
				return err
			}
			values = append(values, value)
		}
		if len(values) == 0 {
			return nil
		}
		fs.Lookup(name).Changed = true
		return list.Replace(values) // an item is one value, whatever it holds: only what stands alone may be a comma list
	}
	return errors.New("a value or a list of values is wanted")
}

// text is a plain value as it stands in the file, but for bytes that are no text: of those base64 stands there, as Print
// writes it.
func text(node *yaml.Node) (value string, err error) {
	if node.ShortTag() != "!!binary" {
		return node.Value, nil
	}
	if err := node.Decode(&value); err != nil {
		return "", fmt.Errorf("%q is no base64: write it as a plain text, or correct it", node.Value)
	}
	return value, nil
}

// Print writes the settings in force as a file that Apply reads.
func Print(fs *pflag.FlagSet, w io.Writer) error {
	values := map[string]any{}
	fs.VisitAll(func(f *pflag.Flag) {
		if local(f.Name) || f.Name == "config" {
			return
		}
		if s, ok := f.Value.(pflag.SliceValue); ok {
			values[f.Name] = s.GetSlice()
		} else {
			values[f.Name] = f.Value.String()
		}
	})
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(values); err != nil {
		return fmt.Errorf("print settings: %w", err)
	}
	return enc.Close()
}
