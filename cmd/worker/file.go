package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/yardmaster/yardmaster/internal/execrun"
	"github.com/yardmaster/yardmaster/internal/name"
	"github.com/yardmaster/yardmaster/internal/settings"
	"github.com/yardmaster/yardmaster/worker"
)

// handlersBytesMax bounds a handlers file.
const handlersBytesMax = 1 << 20

// handlersFile is the worker's allow-list: what it runs for which kind. A submitter chooses a kind, never a command.
type handlersFile struct {
	Pools    map[string]poolSpec `yaml:"pools"` // further pools
	Handlers []handlerSpec       `yaml:"handlers"`
}

// poolSpec is a pool: in the file its slots alone, or slots and prefetch by name.
type poolSpec struct {
	Slots    int `yaml:"slots"`
	Prefetch int `yaml:"prefetch"` // short tasks that it is sent beyond its slots
}

// UnmarshalYAML implements yaml.Unmarshaler. Unknown keys are refused here too: the decoder's own rule ends at a type that
// reads itself.
func (p *poolSpec) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		return node.Decode(&p.Slots)
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if key := node.Content[i]; key.Value != "slots" && key.Value != "prefetch" {
			return fmt.Errorf("line %d: a pool has slots and prefetch, not %q", key.Line, key.Value)
		}
	}
	type plain poolSpec
	return node.Decode((*plain)(p))
}

// handlerSpec maps a kind to a program or an endpoint: exactly one of Exec and HTTP.
type handlerSpec struct {
	Kind string    `yaml:"kind"`
	Pool string    `yaml:"pool"` // empty: the default pool, sized by --slots
	CPU  bool      `yaml:"cpu"`  // it computes most of the time: it runs in the pool cpu, sized by --cpu-slots
	Exec *execSpec `yaml:"exec"`
	HTTP *httpSpec `yaml:"http"`
	// Progress gives the program a descriptor on which it reports its progress. With Exec alone.
	Progress bool `yaml:"progress"`
}

// execSpec is a program. It gets the payload on stdin; its stdout is the result.
type execSpec struct {
	Argv           []string          `yaml:"argv"` // no shell; {task}, {token}, {attempt} and {generation} are replaced by numbers
	Dir            string            `yaml:"dir"`
	PassEnv        []string          `yaml:"pass_env"` // names taken from the worker's environment; default PATH, HOME, LANG, TZ
	Env            map[string]string `yaml:"env"`
	PermanentCodes []int             `yaml:"permanent_codes"` // exit codes that make a dead letter at once
}

// httpSpec is an endpoint. The payload is posted to it; the body of a 2xx answer is the result.
type httpSpec struct {
	URL         string            `yaml:"url"`
	ContentType string            `yaml:"content_type"` // default application/octet-stream
	Headers     map[string]string `yaml:"headers"`
}

// passEnvDefault is what a program sees of the worker's environment unless the file says otherwise.
var passEnvDefault = []string{"PATH", "HOME", "LANG", "TZ"}

// fileWords are the file's words for what it is read into.
var fileWords = settings.Words{
	"main.handlersFile": "a handlers file (of pools and handlers)", "main.handlerSpec": "a handler (of kind, pool, cpu, progress, and exec or http)",
	"[]main.handlerSpec": "a list of handlers", "map[string]main.poolSpec": "pools by name",
	"main.execSpec": "exec (of argv, dir, pass_env, env and permanent_codes)", "main.httpSpec": "http (of url, content_type and headers)",
}

// parseHandlers reads a handlers file; the error says all that is wrong with it.
func parseHandlers(data []byte) (*handlersFile, error) {
	if len(data) > handlersBytesMax {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", len(data), handlersBytesMax)
	}
	f := &handlersFile{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(f); err != nil && !errors.Is(err, io.EOF) {
		return nil, settings.YAMLError(err, fileWords)
	}
	if err := dec.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("it must be one document: what follows --- would not be read")
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *handlersFile) check() error {
	var errs []error
	if len(f.Handlers) == 0 {
		errs = append(errs, errors.New("handlers: the list is empty: name at least one kind"))
	}
	for pool, p := range f.Pools {
		if !name.Valid(pool) || pool == worker.DefaultPool {
			errs = append(errs, fmt.Errorf("pools: %q: want %s, and not default, which --slots sizes", pool, name.Rule))
		}
		if p.Slots < 1 || p.Slots > worker.SlotsMax {
			errs = append(errs, fmt.Errorf("pools: %s: %d slots: choose 1 to %d", pool, p.Slots, worker.SlotsMax))
		}
		if p.Prefetch < 0 || p.Prefetch > worker.PrefetchMax {
			errs = append(errs, fmt.Errorf("pools: %s: prefetch is %d: choose 0 to %d", pool, p.Prefetch, worker.PrefetchMax))
		}
	}
	seen := map[string]bool{}
	for i := range f.Handlers {
		h := &f.Handlers[i]
		if seen[h.Kind] {
			errs = append(errs, fmt.Errorf("handlers[%d]: kind %q is there twice: name each kind once", i, h.Kind))
		}
		seen[h.Kind] = true
		if err := h.check(f.Pools); err != nil {
			errs = append(errs, fmt.Errorf("handlers[%d] (kind %q): %w", i, h.Kind, err))
		}
	}
	return errors.Join(errs...)
}

// wantsCPU reports whether a handler runs in the pool cpu and the file doesn't size it.
func (f *handlersFile) wantsCPU() bool {
	_, sized := f.Pools[worker.CPUPool]
	return !sized && slices.ContainsFunc(f.Handlers, func(h handlerSpec) bool { return h.CPU || h.Pool == worker.CPUPool })
}

func (h *handlerSpec) check(pools map[string]poolSpec) error {
	var errs []error
	if !name.Valid(h.Kind) {
		errs = append(errs, fmt.Errorf("kind: want %s", name.Rule))
	}
	if h.CPU && h.Pool != "" && h.Pool != worker.CPUPool {
		errs = append(errs, fmt.Errorf("pool: %q, and cpu: true puts it into the pool %q: say one of the two", h.Pool, worker.CPUPool))
	}
	if _, ok := pools[h.Pool]; h.Pool != "" && h.Pool != worker.DefaultPool && h.Pool != worker.CPUPool && !ok {
		errs = append(errs, fmt.Errorf("pool: %q is not under pools: size it there", h.Pool))
	}
	if h.Progress && h.Exec == nil {
		errs = append(errs, errors.New("progress: only a program can report it: say exec, or drop progress"))
	}
	switch {
	case h.Exec == nil && h.HTTP == nil:
		errs = append(errs, errors.New("nothing is named to run: say exec or http"))
	case h.Exec != nil && h.HTTP != nil:
		errs = append(errs, errors.New("exec and http exclude each other: say one of the two"))
	case h.Exec != nil:
		errs = append(errs, h.Exec.check())
	default:
		errs = append(errs, h.HTTP.check())
	}
	return errors.Join(errs...)
}

// placeholder is what may be replaced in argv: numbers of the coordinator, nothing that a submitter writes. With a $ before
// it, it is a shell's business.
var placeholder = regexp.MustCompile(`\$?\{[a-z_]*\}`)

var placeholders = []string{"{task}", "{token}", "{attempt}", "{generation}"}

func (e *execSpec) check() error {
	var errs []error
	if len(e.Argv) == 0 || e.Argv[0] == "" {
		errs = append(errs, errors.New("exec.argv: it is empty: name a program"))
	}
	for i, a := range e.Argv {
		for _, p := range placeholder.FindAllString(a, -1) {
			if p[0] != '$' && (i == 0 || !slices.Contains(placeholders, p)) {
				errs = append(errs, fmt.Errorf("exec.argv[%d]: %s: only %s are replaced, and not in the program's name", i, p, strings.Join(placeholders, ", ")))
			}
		}
	}
	for _, name := range e.PassEnv {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			errs = append(errs, fmt.Errorf("exec.pass_env: %q is no variable's name", name))
		}
	}
	for name := range e.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			errs = append(errs, fmt.Errorf("exec.env: %q is no variable's name", name))
		}
		if name == execrun.ProgressVariable {
			errs = append(errs, fmt.Errorf("exec.env: %s is the worker's to set: say progress: true", name))
		}
	}
	for _, c := range e.PermanentCodes {
		if c < 1 || c > 255 {
			errs = append(errs, fmt.Errorf("exec.permanent_codes: %d: choose 1 to 255", c))
		}
	}
	return errors.Join(errs...)
}

func (h *httpSpec) check() error {
	u, err := url.Parse(h.URL)
	if err != nil {
		return fmt.Errorf("http.url: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("http.url: %q: want http://HOST/… or https://HOST/…", h.URL)
	}
	return nil
}
