// Command demo-hash is the demo's exec handler: it prints the SHA-256, in hex, of the file whose path it reads on stdin.
//
// --root DIR names the directory below which the file must lie; what leads out of it, by .. or by a symbolic link, is
// refused. Without --root it is stdin itself that is summed up. To the file that DEMO_RUNS names, if any, it appends a
// line for each run: "ok" or "failed", the task's id and the lease's token as the worker tells them in the environment,
// and the path in quotes. The worker takes a run for done only once this process has ended, so a result that it reports
// always has its line.
//
// It is started once for each task, so it imports little: fmt and flag alone would double the time that it takes.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strconv"
)

// pathBytesMax is the longest path that Linux takes.
const pathBytesMax = 4096

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		_, _ = os.Stderr.WriteString("demo-hash: " + err.Error() + "\n")
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	switch {
	case len(args) == 0:
		return sum(stdin, stdout)
	case len(args) != 2 || args[0] != "--root":
		return errors.New("usage: demo-hash [--root DIR] < PATH-OR-DATA")
	}
	name, err := io.ReadAll(io.LimitReader(stdin, pathBytesMax+1))
	if err == nil && len(name) > pathBytesMax {
		err = errors.New("the path has more than " + strconv.Itoa(pathBytesMax) + " bytes")
	}
	if err == nil {
		err = sumFile(args[1], string(name), stdout)
	}
	if runs := os.Getenv("DEMO_RUNS"); runs != "" {
		return errors.Join(err, note(runs, string(name), err))
	}
	return err
}

// sumFile sums a regular file up. os.Root refuses names that lead out of it.
func sumFile(root, name string, to io.Writer) error {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer dir.Close()
	info, err := dir.Lstat(name) // before Open, which would wait for a pipe's other end
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New(strconv.Quote(name) + " is no regular file")
	}
	f, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return sum(f, to)
}

func sum(from io.Reader, to io.Writer) error {
	h := sha256.New()
	if _, err := io.Copy(h, from); err != nil {
		return err
	}
	_, err := io.WriteString(to, hex.EncodeToString(h.Sum(nil)))
	return err
}

// note appends one line in one write, so that runs at the same time don't mix theirs.
func note(file, name string, failed error) error {
	word := "ok"
	if failed != nil {
		word = "failed"
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(word + " " + os.Getenv("YARD_TASK") + " " + os.Getenv("YARD_TOKEN") + " " + strconv.Quote(name) + "\n")
	return errors.Join(err, f.Close())
}
