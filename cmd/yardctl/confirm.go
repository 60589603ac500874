package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
)

// answerBytesMax is the longest answer to a question that is read.
const answerBytesMax = 1_000

// canAsk refuses to ask where nobody could answer.
func (a *app) canAsk() error {
	if !a.isTerminal(a.stdin) {
		return usagef("stdin is no terminal to ask at; --yes goes ahead without asking, --dry-run only counts")
	}
	return nil
}

// ask asks on stderr and reads the answer from stdin. Only y and yes are a yes.
func (a *app) ask(ctx context.Context, question string) (bool, error) {
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	type answer struct {
		line string
		err  error
	}
	answered := make(chan answer, 1) // the reader of a terminal can't be called back: it ends with the process
	go func() {
		line, err := bufio.NewReader(io.LimitReader(a.stdin, answerBytesMax)).ReadString('\n')
		answered <- answer{line, err}
	}()
	select {
	case got := <-answered:
		if got.err != nil && got.err != io.EOF { //nolint:errorlint // bufio returns it as it is
			return false, fmt.Errorf("read the answer: %w", got.err)
		}
		word := strings.ToLower(strings.TrimSpace(got.line))
		return word == "y" || word == "yes", nil
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return false, fmt.Errorf("not confirmed; nothing was changed: %w", ctx.Err())
	}
}
