//go:build e2e

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// errorRow is a line of docs/errors.md: a command, and what it says.
type errorRow struct {
	id, command, says string
	exit              int // goesOn: it doesn't end by itself
}

const goesOn = -1

var (
	errorLine = regexp.MustCompile("^\\| `([a-z0-9-]+)` \\| `([^`]+)` \\| (`[^`]+`|``[^\n]+``) \\| (\\d|–) \\|$")
	apiLine   = regexp.MustCompile("^\\| `[A-Z_]+` \\| ")
)

// errorRows reads the tables. A line in no known form would be checked by nobody.
func errorRows(t *testing.T) []errorRow {
	t.Helper()
	text, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []errorRow
	seen := map[string]bool{}
	for i, line := range strings.Split(string(text), "\n") {
		m := errorLine.FindStringSubmatch(line)
		switch {
		case !strings.HasPrefix(line, "| `") || apiLine.MatchString(line):
			continue
		case m == nil:
			t.Fatalf("docs/errors.md line %d isn't in the form of a command's error: %s", i+1, line)
		case seen[m[1]]:
			t.Fatalf("docs/errors.md line %d: there are two errors %s", i+1, m[1])
		}
		seen[m[1]] = true
		row := errorRow{id: m[1], command: m[2], says: strings.ReplaceAll(strings.TrimSpace(strings.Trim(m[3], "`")), `\|`, "|"), exit: goesOn}
		if m[4] != "–" {
			row.exit, _ = strconv.Atoi(m[4]) // a digit
		}
		rows = append(rows, row)
	}
	return rows
}

// placeholderWord is a word of the tables that stands for something of this run.
var placeholderWord = regexp.MustCompile(`\b[A-Z]{3,}\b`)

func substituted(text string, names map[string]string) string {
	return placeholderWord.ReplaceAllStringFunc(text, func(word string) string {
		if value, ok := names[word]; ok {
			return value
		}
		return word
	})
}

// pattern makes a regular expression of a message in which … stands for anything.
func (r errorRow) pattern(names map[string]string) *regexp.Regexp {
	parts := strings.Split(substituted(oneLine(r.says), names), "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`\A` + strings.Join(parts, `.*`) + `\z`)
}

// oneLine is a text as the tables show it.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// TestErrorTable runs every command of docs/errors.md and compares message and exit code.
func TestErrorTable(t *testing.T) {
	rows := errorRows(t)
	if len(rows) < 150 {
		t.Fatalf("docs/errors.md has %d errors: the test doesn't read it right", len(rows))
	}
	w := newErrorWorld(t)
	for _, row := range rows {
		t.Run(row.id, func(t *testing.T) {
			t.Parallel()
			w.check(t, row)
		})
	}
}

// check runs one command in a directory of its own.
func (w *errorWorld) check(t *testing.T, row errorRow) {
	dir := t.TempDir()
	names := w.names(dir)
	w.furnish(t, dir, row.command)
	words := strings.Fields(substituted(row.command, names))
	env := []string{"HOME=" + dir, "XDG_CONFIG_HOME=" + filepath.Join(dir, "config")}
	switch {
	case strings.Contains(row.command, "yardctl"):
		env = append(env, "YARD_ADDR="+w.addr)
	case strings.Contains(row.command, "worker"):
		env = append(env, "YARD_LOG_LEVEL=warn", "YARD_COORDINATOR="+w.addr)
	default:
		env = append(env, "YARD_LOG_LEVEL=error", "YARD_LISTEN=127.0.0.1:0", "YARD_ADMIN_LISTEN=", "YARD_LOG_SEGMENT_BYTES=131072", "YARD_DISK_RESERVE=1")
	}
	for words[0] != "coordinator" && words[0] != "worker" && words[0] != "yardctl" {
		env, words = append(env, words[0]), words[1:] // NAME=VALUE before a command, as in a shell
	}
	argv := append([]string{"/bin/sh", "-c", `cd "$1" && shift && exec "$@"`, "sh", dir, program(words[0])}, words[1:]...)
	p := start(t, words[0], env, argv...)
	want := row.pattern(names)
	if row.exit == goesOn {
		eventually(t, fmt.Sprintf("it says %s", row.says), func() bool { return want.MatchString(oneLine(p.log.text())) || !p.alive() })
		p.signal(syscall.SIGTERM)
		if code := p.exit(); code != exitClean || !want.MatchString(oneLine(p.log.text())) {
			t.Errorf("exit code %d; %s\nsays       %s\ndocumented %s", code, row.command, oneLine(p.log.text()), row.says)
		}
		return
	}
	code, output := p.exit(), oneLine(p.log.text())
	if code != row.exit {
		t.Errorf("exit code %d, documented %d", code, row.exit)
	}
	if words[0] == "yardctl" && code == exitUsage {
		hint := regexp.MustCompile(` Run 'yardctl[a-z ]* --help' for usage\.$`)
		if !hint.MatchString(output) {
			t.Errorf("it names no --help: %s", output)
		}
		output = hint.ReplaceAllString(output, "")
	}
	if !want.MatchString(output) {
		t.Errorf("%s\nsays       %s\ndocumented %s", row.command, output, row.says)
	}
}
