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
)

// handlersBytesMax bounds a handlers file.
const handlersBytesMax = 1 << 20

// handlersFile is the worker's allow-list: what it runs for which kind. A submitter chooses a kind, never a command.
type handlersFile struct {
	Pools    map[string]int `yaml:"pools"` // further pools and their slots
	Handlers []handlerSpec  `yaml:"handlers"`
}

// handlerSpec maps a kind to a program or an endpoint: exactly one of Exec and HTTP.
type handlerSpec struct {
	Kind string    `yaml:"kind"`
	Pool string    `yaml:"pool"` // empty: the default pool, sized by --slots
	Exec *execSpec `yaml:"exec"`
	HTTP *httpSpec `yaml:"http"`
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

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// parseHandlers reads a handlers file; the error says all that is wrong with it.
func parseHandlers(data []byte) (*handlersFile, error) {
	if len(data) > handlersBytesMax {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", len(data), handlersBytesMax)
	}
	f := &handlersFile{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(f); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
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
	for name, slots := range f.Pools {
		if !nameForm.MatchString(name) || name == "default" {
			errs = append(errs, fmt.Errorf("pools: %q: want %s, and not default, which --slots sizes", name, nameForm))
		}
		if slots < 1 || slots > 10_000 {
			errs = append(errs, fmt.Errorf("pools: %s: %d slots: choose 1 to 10000", name, slots))
		}
	}
	seen := map[string]bool{}
	for i := range f.Handlers {
		h := &f.Handlers[i]
		if seen[h.Kind] {
			errs = append(errs, fmt.Errorf("handlers[%d]: kind %q is there twice", i, h.Kind))
		}
		seen[h.Kind] = true
		if err := h.check(f.Pools); err != nil {
			errs = append(errs, fmt.Errorf("handlers[%d] (kind %q): %w", i, h.Kind, err))
		}
	}
	return errors.Join(errs...)
}

func (h *handlerSpec) check(pools map[string]int) error {
	var errs []error
	if !nameForm.MatchString(h.Kind) {
		errs = append(errs, fmt.Errorf("kind: want %s", nameForm))
	}
	if _, ok := pools[h.Pool]; h.Pool != "" && h.Pool != "default" && !ok {
		errs = append(errs, fmt.Errorf("pool: %q isn't under pools", h.Pool))
	}
	switch {
	case (h.Exec == nil) == (h.HTTP == nil):
		errs = append(errs, errors.New("want either exec or http"))
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
		errs = append(errs, errors.New("exec.argv: name a program"))
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
