package main

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"

	"github.com/yardmaster/yardmaster/internal/execrun"
	"github.com/yardmaster/yardmaster/internal/name"
	"github.com/yardmaster/yardmaster/internal/settings"
	"github.com/yardmaster/yardmaster/worker"
)

// goWords are names of types and packages, which an error of a file mustn't speak in.
var goWords = regexp.MustCompile(`\bmain\.|yaml\.|\bmap\[|\[\]|interface|unmarshal`)

// FuzzHandlers: any bytes are a handlers file of which everything can be run, or are refused in the file's own words.
func FuzzHandlers(f *testing.F) {
	for _, text := range []string{
		"", "handlers:\n- kind: a\n  exec: {argv: [/bin/true]}\n", "pools: {gpu: 1, quick: {slots: 16, prefetch: 16}}\nhandlers:\n- kind: a\n  pool: gpu\n  http: {url: 'http://h/'}\n",
		"handlers:\n- {kind: a, cpu: true, progress: true, exec: {argv: [x, '{task}', '${task}', '{token}{attempt}'], dir: /, pass_env: [], env: {A: b}, permanent_codes: [2, 64]}}",
		"handlers:\n- kind: A\n  exec: {argv: [\"/bin/{task}\"], shell: yes}\n", "handlers: [1]", "pools: {a: {slots: b}}", "pools: [1]\n", "a: &a [*a, *a]", "---\n---\n",
		"handlers:\n- kind: a\n  http: {url: 'ftp://x', headers: {A: b}}\n", "handlers:\n- &h {kind: a, exec: {argv: [x]}}\n- *h\n", "pools: {a: &p {slots: 1}, b: *p}\nhandlers: []",
		"handlers:\n- <<: {kind: a}\n  exec: {argv: [x]}\n", "handlers: !!map {}", "\xff", "handlers:\n- kind: a\n  exec: {argv: [x], permanent_codes: [0, 256, x]}\n",
		"pools: {cpu: 3}\nhandlers:\n- kind: a\n  exec: null\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 16<<10 {
			return
		}
		file, err := parseHandlers(data)
		if err != nil {
			if words := goWords.FindString(unquoted(err.Error())); words != "" {
				t.Fatalf("%q speaks of the program: %s", words, err)
			}
			return
		}
		seen := map[string]bool{}
		for i := range file.Handlers {
			h := &file.Handlers[i]
			if !name.Valid(h.Kind) || seen[h.Kind] || (h.Exec == nil) == (h.HTTP == nil) {
				t.Fatalf("handler %+v was taken", h)
			}
			seen[h.Kind] = true
			if h.Exec == nil {
				continue
			}
			e := newExecHandler(h.Exec, nil, 0, func(string) (string, bool) { return "", false })
			argv := e.argv(&worker.Task{ID: 1, Token: 2})
			if len(argv) != len(h.Exec.Argv) || argv[0] != h.Exec.Argv[0] {
				t.Fatalf("argv %q became %q", h.Exec.Argv, argv)
			}
		}
		c := &config{}
		if err := settings.Apply(flagSet(c), []string{"--handlers=x", "--slots=1", "--name=w"}, settings.Source{LookupEnv: func(string) (string, bool) { return "", false }}); err != nil {
			t.Fatal(err)
		}
		if _, err := worker.New(c.worker(file, hclog.NewNullLogger())); err != nil && !strings.Contains(err.Error(), "pool") && !strings.Contains(err.Error(), "slots") {
			t.Fatalf("the file is good, and the worker refuses it: %v", err)
		}
	})
}

// unquoted leaves out what an error quotes of the file.
func unquoted(text string) string {
	return regexp.MustCompile("\"(\\\\.|[^\"\\\\])*\"|`[^`]*`").ReplaceAllString(text, "")
}

// FuzzFlags: any arguments, environment and file are settings that a worker can be made of, or are refused.
func FuzzFlags(f *testing.F) {
	f.Add("--slots=3\x00--label=a=b\x00--queue=q", "coordinator", "127.0.0.1:1,127.0.0.1:2", "kill-grace: 1s")
	f.Add("--coordinator=::1", "admin-listen", "0.0.0.0:1", "label: [a, b]")
	f.Add("--drain-timeout=-1s", "slots", "-1", "prefetch: 99999999")
	f.Add("--name=Bad\x00--queue=Bad", "label", "=x", "log-level: loud")
	f.Fuzz(func(t *testing.T, args, variable, value, file string) {
		if len(args)+len(value)+len(file) > 4<<10 {
			return
		}
		c := &config{}
		list := append([]string{"--handlers=x", "--config=the-file"}, slices.DeleteFunc(strings.Split(args, "\x00"), func(a string) bool { return a == "" })...)
		set := flagSet(c)
		set.Usage = func() {}
		err := settings.Apply(set, list, settings.Source{
			LookupEnv: func(n string) (string, bool) {
				return value, n == "YARD_"+strings.ToUpper(strings.ReplaceAll(variable, "-", "_"))
			},
			ReadFile: func(path string) ([]byte, error) {
				if path == "the-file" {
					return []byte(file), nil
				}
				return nil, fs.ErrNotExist
			},
		})
		if err != nil || c.check() != nil {
			return
		}
		if c.slots < 0 || c.slots > worker.SlotsMax || c.drainTimeout < 0 || c.killGrace < 0 || len(c.coordinators) > 0 && settings.CheckTarget("", c.coordinators[0]) != nil {
			t.Fatalf("%+v was taken", c)
		}
		_, _ = worker.New(c.worker(&handlersFile{}, hclog.NewNullLogger())) // a worker or an error
	})
}

// FuzzProgress: any line is a progress that can be told, or is ignored with a reason.
func FuzzProgress(f *testing.F) {
	for _, line := range []string{"25 resizing", "62.5", "writing the index", "100%", "100.0 x", "100.1", "-1", "250 rows", "1e3", "٣", "a\x1bb", "\xff", "12.", ".5", "007 x", "99999999999999999999", "5\ttab"} {
		f.Add([]byte(line), 7)
	}
	f.Fuzz(func(t *testing.T, line []byte, last int) {
		if last < 0 || last > 1000 || len(line) > 2*execrun.ProgressLineMax {
			return
		}
		permille, text, err := parseProgress(line, last)
		if err != nil {
			return
		}
		if permille < 0 || permille > 1000 || !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) && c != '\t' }) ||
			len(text) > len(line) {
			t.Fatalf("%q is %d, %q", line, permille, text)
		}
	})
}
