package main

import (
	"os"
	"strings"
	"testing"
)

func TestParseHandlers(t *testing.T) {
	f, err := parseHandlers([]byte(`
pools: {cpu: 2}
handlers:
- kind: resize
  pool: cpu
  exec:
    argv: [/usr/bin/convert, "-task={task}.{token}", "{attempt}/{generation}", "{}literal"]
    dir: /tmp
    pass_env: []
    env: {MODE: fast, "EMPTY": ""}
    permanent_codes: [2, 255]
- kind: notify
  pool: default
  http: {url: "https://example.test/hook?a=b", content_type: application/json, headers: {X-Token: secret}}
`))
	if err == nil || !strings.Contains(err.Error(), "{}") { // braces are for numbers only
		t.Fatalf("%+v, %v", f, err)
	}
	f, err = parseHandlers([]byte(`
pools: {cpu: 2, io: {slots: 7, prefetch: 3}}
handlers:
- kind: burn
  cpu: true
  progress: true
  exec: {argv: [/bin/true]}
- kind: resize
  pool: cpu
  exec: {argv: [/usr/bin/convert, "-task={task}.{token}", "{attempt}/{generation}", "{1}"], pass_env: [], env: {MODE: fast, EMPTY: ""}}
- kind: notify
  http: {url: "https://example.test/hook?a=b"}
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Handlers) != 3 || f.Pools["cpu"] != (poolSpec{Slots: 2}) || f.Pools["io"] != (poolSpec{7, 3}) || !f.Handlers[0].CPU ||
		!f.Handlers[0].Progress || f.Handlers[1].Progress ||
		f.Handlers[1].Exec.PassEnv == nil || f.Handlers[2].HTTP.URL != "https://example.test/hook?a=b" {
		t.Errorf("%+v", f)
	}
}

// TestParseHandlersErrors: each mistake is told with its place.
func TestParseHandlersErrors(t *testing.T) {
	const kind = "handlers:\n- kind: a\n"
	for _, c := range []struct {
		name, file string
		says       []string
	}{
		{"empty", "", []string{"handlers", "at least one kind"}},
		{"no list", "handlers: []", []string{"at least one kind"}},
		{"no YAML", "handlers: [", []string{"yaml"}},
		{"another form", "- kind: a", []string{"line 1"}},
		{"unknown key", kind + "  shell: echo", []string{"shell", "line 3"}},
		{"unknown key of exec", kind + "  exec: {command: ls}", []string{"command"}},
		{"wrong type", kind + "  exec: {argv: {a: b}}", []string{"line 3"}},
		{"two documents", kind + "  exec: {argv: [a]}\n---\n" + kind + "  exec: {argv: [b]}\n", []string{"one document"}},
		{"too large", strings.Repeat("#", handlersBytesMax+1), []string{"1048577 bytes", "1048576"}},
		{"no kind", "handlers:\n- exec: {argv: [a]}", []string{"handlers[0]", "kind: want"}},
		{"kind that is no name", "handlers:\n- kind: ../sh\n  exec: {argv: [a]}", []string{`"../sh"`, "kind: want"}},
		{"kind too long", "handlers:\n- kind: " + strings.Repeat("k", 64) + "\n  exec: {argv: [a]}", []string{"kind: want"}},
		{"kind twice", kind + "  exec: {argv: [a]}\n- kind: a\n  exec: {argv: [b]}", []string{"handlers[1]", "there twice"}},
		{"neither exec nor http", kind, []string{"say exec or http"}},
		{"both exec and http", kind + "  exec: {argv: [a]}\n  http: {url: 'http://h/'}", []string{"exec and http exclude each other"}},
		{"unknown pool", kind + "  pool: gpu\n  exec: {argv: [a]}", []string{`"gpu"`, "under pools"}},
		{"cpu and another pool", "pools: {io: 1}\n" + kind + "  pool: io\n  cpu: true\n  exec: {argv: [a]}", []string{`pool: "io"`, "cpu: true"}},
		{"unknown key of a pool", "pools: {io: {slots: 1, prefetchs: 2}}\n" + kind + "  exec: {argv: [a]}", []string{"line 1", `"prefetchs"`}},
		{"bad prefetch", "pools: {io: {slots: 1, prefetch: -2}, x: {slots: 1, prefetch: 10001}}\n" + kind + "  exec: {argv: [a]}",
			[]string{"io: prefetch is -2", "x: prefetch is 10001: choose 0 to 10000"}},
		{"no slots", "pools: {io: {prefetch: 2}}\n" + kind + "  exec: {argv: [a]}", []string{"io: 0 slots"}},
		{"bad pools", "pools: {default: 1, Big: 1, none: 0, huge: 10001}\n" + kind + "  exec: {argv: [a]}",
			[]string{`"default"`, "--slots", `"Big"`, "none: 0 slots", "huge: 10001 slots"}},
		{"no program", kind + "  exec: {argv: []}", []string{"exec.argv", "name a program"}},
		{"empty program", kind + `  exec: {argv: ["", a]}`, []string{"name a program"}},
		{"replaced program", kind + `  exec: {argv: ["/bin/{task}"]}`, []string{"exec.argv[0]", "{task}", "not in the program's name"}},
		{"payload in argv", kind + `  exec: {argv: [sh, "{payload}"]}`, []string{"exec.argv[1]", "{payload}", "{task}, {token}"}},
		{"label in argv", kind + `  exec: {argv: [sh, "--x={kind}{task}"]}`, []string{"{kind}"}},
		{"bad names of variables", kind + `  exec: {argv: [a], pass_env: ["A=B", ""], env: {"C=D": x, "": y}}`,
			[]string{"exec.pass_env", `"A=B"`, "exec.env", `"C=D"`, `""`}},
		{"the variable that progress sets", kind + "  exec: {argv: [a], env: {YARD_PROGRESS_FD: '1'}}", []string{"exec.env: YARD_PROGRESS_FD", "progress: true"}},
		{"progress of an endpoint", kind + "  progress: true\n  http: {url: 'http://h/'}", []string{"handlers[0]", "progress: only a program", "drop progress"}},
		{"progress that is no truth value", kind + "  progress: 3\n  exec: {argv: [a]}", []string{"line 3"}},
		{"bad exit codes", kind + "  exec: {argv: [a], permanent_codes: [0, 256, -1]}", []string{"permanent_codes: 0", "256", "-1", "1 to 255"}},
		{"no URL", kind + "  http: {}", []string{"http.url"}},
		{"another scheme", kind + "  http: {url: 'file:///etc/passwd'}", []string{"http.url", "want http://HOST"}},
		{"no host", kind + "  http: {url: 'http:///path'}", []string{"http.url"}},
		{"no URL at all", kind + `  http: {url: "http://[::1"}`, []string{"http.url"}},
		{"all at once", "handlers:\n- kind: A\n  pool: x\n  exec: {argv: ['{a}']}\n- kind: b\n  http: {url: x}\n- kind: b\n",
			[]string{`"A"`, `pool: "x"`, "{a}", "http.url", "there twice", "say exec or http"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseHandlers([]byte(c.file))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in: %v", want, err)
				}
			}
		})
	}
}

// TestShellVariablesStandAsTheyAre: a shell's ${name} isn't taken for one of our placeholders.
func TestShellVariablesStandAsTheyAre(t *testing.T) {
	f, err := parseHandlers([]byte("handlers:\n  - kind: k\n    exec: {argv: [sh, -c, 'echo ${name} ${task}']}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Handlers[0].Exec.Argv[2]; got != "echo ${name} ${task}" {
		t.Errorf("argv %q", got)
	}
}

// TestExample: the example's handlers file is one.
func TestExample(t *testing.T) {
	data, err := os.ReadFile("../../examples/exec-progress/handlers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := parseHandlers(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range f.Handlers {
		if !h.Progress || h.Exec == nil {
			t.Errorf("kind %s reports no progress", h.Kind)
		}
	}
}
