package settings

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// fuzzFlags has a flag of each type that the servers use.
func fuzzFlags() *pflag.FlagSet {
	fs := flags()
	fs.Duration("ttl", time.Second, "")
	fs.Uint64("max", 7, "")
	fs.Bool("on", false, "")
	fs.StringArray("label", nil, "")
	return fs
}

// FuzzApply: whatever stands in the arguments, the environment and the file, the outcome is settings, or an error that
// names the place; and what --print-config writes of good settings is a file that gives the same.
func FuzzApply(f *testing.F) {
	for _, file := range []string{
		"", "listen: a\nslots: 7\nqueue: [a, b]\n", "ttl: 90s\nmax: 18446744073709551615\non: true\nlabel: [a=b]\n", "slots: many", "slots: [1]",
		"queue: {a: b}", "nobody: 1", "a: &a [*a]", "listen: &x y\nqueue: [*x, *x]", "---\n---\n", "listen: !!binary aGk=", "? [a]\n: b", "on: yes",
		"listen: |\n  two\n  lines\n", "queue: ['a,b', \"\\\"\"]", "listen: null", "\xff\xfe", "<<: {listen: a}", "config: x", "slots: 0x10",
	} {
		f.Add("--slots=3", "listen", "env", file)
		f.Add("", "queue", "x,y", file)
	}
	f.Add("--queue=a\x00--queue\x00b,c\x00--label=k=v", "slots", "9", "queue: [d]")
	f.Add("positional", "on", "maybe", "")
	f.Fuzz(func(t *testing.T, args, variable, value, file string) {
		if len(args)+len(value)+len(file) > 8<<10 {
			return
		}
		list := []string{"--config=the-file"}
		if args != "" {
			list = append(list, strings.Split(args, "\x00")...)
		}
		set := fuzzFlags()
		src := Source{
			LookupEnv: func(name string) (string, bool) { return value, name == envName(variable) },
			ReadFile: func(path string) ([]byte, error) {
				if path != "the-file" {
					return nil, fs.ErrNotExist
				}
				return []byte(file), nil
			},
		}
		if err := Apply(set, list, src); err != nil {
			checkPlaces(t, err, set, file)
			return
		}
		var printed bytes.Buffer
		if err := Print(set, &printed); err != nil {
			t.Fatal(err)
		}
		again := fuzzFlags()
		err := Apply(again, []string{"--config=printed"}, Source{
			LookupEnv: func(string) (string, bool) { return "", false }, ReadFile: func(string) ([]byte, error) { return printed.Bytes(), nil },
		})
		if err != nil {
			t.Fatalf("what was printed is refused: %v\n%s", err, printed.String())
		}
		set.VisitAll(func(f *pflag.Flag) {
			if got := again.Lookup(f.Name).Value.String(); !local(f.Name) && f.Name != "config" && got != f.Value.String() {
				t.Fatalf("--%s is %q, printed and read again %q\n%s", f.Name, f.Value, got, printed.String())
			}
		})
	})
}

// checkPlaces wants an error to name an argument, a variable or a place in the file.
func checkPlaces(t *testing.T, err error, set *pflag.FlagSet, file string) {
	text := err.Error()
	if errors.Is(err, pflag.ErrHelp) || errors.Is(err, fs.ErrNotExist) {
		return
	}
	if strings.Contains(text, "yaml.Node") || strings.Contains(text, "panic") {
		t.Fatalf("it speaks of the program: %q of %q", text, file)
	}
	for _, place := range []string{"environment variable YARD_", "--config ", "unexpected argument ", "flag", "argument", "shorthand"} {
		if strings.Contains(text, place) {
			return
		}
	}
	t.Fatalf("%q names no place", text)
}
