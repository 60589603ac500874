package main

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// The lines that part a mutant's edits.
const (
	fileMark = "==="
	findMark = "--- find"
	putMark  = "--- put"
	endMark  = "--- end"
)

// parseEdits reads what follows the fields: files, and pairs of texts in each.
func parseEdits(text string) ([]Edit, error) {
	var edits []Edit
	var file, mark string
	var find, put []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case mark == "" && strings.HasPrefix(line, fileMark):
			if file = strings.TrimSpace(strings.TrimPrefix(line, fileMark)); file != path.Clean(file) || !strings.HasSuffix(file, ".go") ||
				strings.HasPrefix(file, "../") || path.IsAbs(file) {
				return nil, fmt.Errorf("file %q: want a Go file's path from the root of the repository", file)
			}
		case mark == "" && line == findMark && file != "", mark == findMark && line == putMark:
			mark = line
		case mark == putMark && line == endMark:
			e := Edit{File: file, Find: strings.Join(find, "\n"), Put: strings.Join(put, "\n")}
			if strings.TrimSpace(e.Find) == "" {
				return nil, fmt.Errorf("an edit of %s has nothing to find", file)
			}
			edits = append(edits, e)
			mark, find, put = "", nil, nil
		case mark == findMark:
			find = append(find, line)
		case mark == putMark:
			put = append(put, line)
		case strings.TrimSpace(line) != "":
			return nil, fmt.Errorf("line %q: want %q and a path, then %q, %q, %q, each alone on its line", line, fileMark, findMark, putMark, endMark)
		}
	}
	switch {
	case mark != "":
		return nil, fmt.Errorf("the last edit of %s has no %q", file, endMark)
	case len(edits) == 0:
		return nil, errors.New("there is no edit")
	}
	return edits, nil
}

// apply replaces the one place of an edit's text. It stands on whole lines.
func (e *Edit) apply(text string) (string, error) {
	text = "\n" + text
	find := "\n" + e.Find + "\n"
	switch n := occurrences(text, find); {
	case n == 0:
		return "", fmt.Errorf("stale: %s doesn't hold the text any more: %s", e.File, firstLine(e.Find))
	case n > 1:
		return "", fmt.Errorf("stale: %s holds the text %d times, want once: %s", e.File, n, firstLine(e.Find))
	}
	put := "\n"
	if e.Put != "" {
		put += e.Put + "\n"
	}
	return strings.Replace(text, find, put, 1)[1:], nil
}

// occurrences counts where a text is in another; two may share the end of a line.
func occurrences(text, part string) (n int) {
	for {
		at := strings.Index(text, part)
		if at < 0 {
			return n
		}
		n++
		text = text[at+1:]
	}
}

// firstLine quotes the first line of a text.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return fmt.Sprintf("%q", line)
}
