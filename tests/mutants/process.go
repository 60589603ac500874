package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

const outputMax = 1 << 20 // bytes kept of what a program says: the first

// ran is how a program ended.
type ran struct {
	status int // -1: it was killed, as it took longer than it may
	text   string
	err    error // it couldn't be run, or the context ended
}

// start runs a program to its end. One that takes longer than hang is killed.
func start(ctx context.Context, hang time.Duration, dir, path string, args ...string) ran {
	limited, cancel := context.WithTimeout(ctx, hang)
	defer cancel()
	cmd := exec.CommandContext(limited, path, args...)
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	var out head
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return ran{err: context.Cause(ctx)}
	case limited.Err() != nil:
		return ran{status: -1, text: string(out)}
	case errors.As(err, &exit):
		return ran{status: exit.ExitCode(), text: string(out)}
	}
	return ran{text: string(out), err: err}
}

// head keeps the first outputMax bytes.
type head []byte

func (h *head) Write(p []byte) (int, error) {
	*h = append(*h, p[:min(len(p), outputMax-len(*h))]...)
	return len(p), nil
}

var (
	invariantText = regexp.MustCompile(`(?i)\binvariant (\d+)\b`)
	crashText     = regexp.MustCompile(`(?m)^(panic: |fatal error: |\s*panic: )`)
)

// verdict reads a program's status and text. By stays empty where the text names no invariant.
func (r ran) verdict() (Verdict, error) {
	switch crash := crashText.FindStringIndex(r.text); {
	case r.err != nil:
		return Verdict{}, r.err
	case r.status == 0:
		return Verdict{}, nil
	case r.status < 0:
		return Verdict{Caught: true, By: "hang", Text: "it doesn't end"}, nil
	case crash != nil:
		return Verdict{Caught: true, By: "panic", Text: lineAt(r.text, crash[0])}, nil
	case r.status != 1:
		return Verdict{}, fmt.Errorf("exit status %d: %s", r.status, tail([]byte(r.text), 500))
	}
	if at := invariantText.FindStringSubmatchIndex(r.text); at != nil {
		return Verdict{Caught: true, By: r.text[at[2]:at[3]], Text: lineAt(r.text, at[0])}, nil
	}
	return Verdict{Caught: true, Text: lineAt(r.text, 0)}, nil
}

// lineAt returns the line that a place of a text is in.
func lineAt(text string, at int) string {
	from := strings.LastIndexByte(text[:at], '\n') + 1
	line, _, _ := strings.Cut(text[from:], "\n")
	return strings.TrimSpace(line)
}
