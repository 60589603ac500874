package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// batchLineBytesMax is the longest line of a batch: a task of 4 MiB, the most a request takes, in base64.
const batchLineBytesMax = 8 << 20

// specSeq is a stream of tasks to submit.
type specSeq = iter.Seq2[*yardmasterv1.TaskSpec, error]

// batch opens a file of JSON lines.
func (a *app) batch(path string) (specs specSeq, done func(), err error) {
	if path == "-" {
		return readBatch(a.stdin, "stdin"), func() {}, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the batch: %w", err)
	}
	return readBatch(file, path), func() { _ = file.Close() }, nil
}

// readBatch reads tasks a line at a time; empty lines are passed over.
func readBatch(from io.Reader, name string) specSeq {
	return func(yield func(*yardmasterv1.TaskSpec, error) bool) {
		lines := bufio.NewScanner(from)
		lines.Buffer(make([]byte, 0, 64<<10), batchLineBytesMax)
		n := 0
		for lines.Scan() {
			n++
			line := bytes.TrimSpace(lines.Bytes())
			if len(line) == 0 {
				continue
			}
			spec := new(yardmasterv1.TaskSpec)
			if err := protojson.Unmarshal(line, spec); err != nil {
				yield(nil, fmt.Errorf("read the batch: %s, line %d: %s", name, n, jsonTrouble(err)))
				return
			}
			if !yield(spec, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			if errors.Is(err, bufio.ErrTooLong) {
				err = fmt.Errorf("it is longer than %s, and a payload may have %s: store it elsewhere and submit where it is",
					size(batchLineBytesMax), size(payloadBytesMax))
			}
			yield(nil, fmt.Errorf("read the batch: %s, line %d: %w", name, n+1, err))
		}
	}
}

// jsonTrouble strips protojson's error of its prefix, whose spacing changes from build to build, and of its own idea of the
// line, which is always the first.
func jsonTrouble(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return strings.Replace(strings.TrimPrefix(text, "proto: "), "(line 1:", "(column ", 1)
}
