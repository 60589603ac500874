package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// handlerRun is one run of the exec handler, as it noted it itself (see cmd/demo/demo-hash).
type handlerRun struct {
	ok          bool
	task, token uint64
	path        string
}

// readRuns reads the notes of one worker's handlers.
func readRuns(from io.Reader) ([]handlerRun, error) {
	var runs []handlerRun
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 64<<10) // a path's 4 KiB, each byte quoted
	for lines.Scan() {
		r, err := parseRun(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("note of a run, line %d: %w", len(runs)+1, err)
		}
		runs = append(runs, r)
	}
	return runs, lines.Err()
}

func parseRun(line string) (handlerRun, error) {
	words := strings.SplitN(line, " ", 4)
	if len(words) != 4 || words[0] != "ok" && words[0] != "failed" {
		return handlerRun{}, fmt.Errorf("%q is none", line)
	}
	task, err1 := strconv.ParseUint(words[1], 10, 64)
	token, err2 := strconv.ParseUint(words[2], 10, 64)
	path, err3 := strconv.Unquote(words[3])
	return handlerRun{words[0] == "ok", task, token, path}, errors.Join(err1, err2, err3)
}

// notAccepted begins the message that the worker's SDK logs for each outcome that was refused.
const notAccepted = "outcome not accepted"

// readRefused finds in a worker's log (in JSON) the tokens whose outcomes were refused.
func readRefused(from io.Reader) (map[uint64]bool, error) {
	refused := make(map[uint64]bool)
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if bytes.Contains(line, []byte(notAccepted)) {
			var entry struct {
				Message string `json:"@message"`
				Token   uint64 `json:"token"`
			}
			if json.Unmarshal(line, &entry) == nil && strings.HasPrefix(entry.Message, notAccepted) {
				refused[entry.Token] = true
			}
		}
		if errors.Is(err, io.EOF) {
			return refused, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// takeRuns reads what every worker of the fleet left behind into the ledger, once all have ended.
func (l *ledger) takeRuns(processes []*process) error {
	for _, p := range processes {
		if p.runs == "" {
			continue
		}
		notes, err := readFile(p.runs)
		if err != nil {
			return err
		}
		runs, err := readRuns(bytes.NewReader(notes))
		if err != nil {
			return fmt.Errorf("%s: %w", p.runs, err)
		}
		log, err := readFile(p.logPath)
		if err != nil {
			return err
		}
		refused, err := readRefused(bytes.NewReader(log))
		if err != nil {
			return err
		}
		l.ran(p.name, p.killed.Load(), runs, refused)
	}
	return nil
}

// readFile is os.ReadFile, but a file that was never made is empty: a worker may have run nothing.
func readFile(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}
