package main

import (
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// handlersFile is what a worker's --handlers names.
type handlersFile struct {
	Handlers []handler `yaml:"handlers"`
}

type handler struct {
	Kind string      `yaml:"kind"`
	Exec execHandler `yaml:"exec"`
}

type execHandler struct {
	Argv []string          `yaml:"argv"`
	Dir  string            `yaml:"dir,omitempty"`
	Env  map[string]string `yaml:"env,omitempty"`
}

// hashKind is the kind of the demo's tasks: the payload is a path, the result its file's SHA-256.
const hashKind = "sha256"

// hashHandlers is the handlers file of a worker of the demo, whose handlers note their runs in a file.
func hashHandlers(bin, root, runs string) ([]byte, error) {
	return yaml.Marshal(handlersFile{[]handler{{hashKind, execHandler{
		Argv: []string{hashProgram(bin), "--root", "."}, Dir: root, Env: map[string]string{"DEMO_RUNS": runs},
	}}}})
}

func hashProgram(bin string) string { return filepath.Join(bin, "demo-hash") }

// playHandlers is the handlers file of workers to play with. A task chooses a kind; what is executed stands here.
func playHandlers(bin string) ([]byte, error) {
	shell := func(script string) execHandler { return execHandler{Argv: []string{"/bin/sh", "-c", script}} }
	return yaml.Marshal(handlersFile{[]handler{
		{"echo", execHandler{Argv: []string{"/bin/cat"}}},
		{hashKind, execHandler{Argv: []string{hashProgram(bin)}}},
		{"sleep", shell(`exec sleep "$(cat)"`)},
		{"flaky", shell(`[ $(($$ % 3)) -eq 0 ] && exec cat; echo "no luck with process $$" >&2; exit 1`)},
		{"fail", shell(`cat >&2; exit 1`)},
	}})
}
