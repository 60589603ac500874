package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/yardmaster/yardmaster/internal/execrun"
	"github.com/yardmaster/yardmaster/worker"
)

// reporter hands on what one program says of its progress: lines of a percentage with a text, or of either alone. A text
// alone leaves the percentage as it was. What is no such line is ignored; of the first, warn is told why.
type reporter struct {
	say  func(permille int, text string)
	warn func(line []byte, why error)

	permille int
	warned   bool
}

// line takes one line, without its end.
func (r *reporter) line(line []byte) {
	permille, text, err := parseProgress(line, r.permille)
	switch {
	case err == nil:
		r.permille = permille
		r.say(permille, text)
	case !r.warned:
		r.warned = true
		r.warn(line[:min(len(line), worker.ProgressMessageMax)], err)
	}
}

// parseProgress reads PERCENT, PERCENT TEXT or TEXT; with a text alone it returns last.
func parseProgress(line []byte, last int) (permille int, text string, err error) {
	switch {
	case len(line) > execrun.ProgressLineMax:
		return 0, "", fmt.Errorf("it has more than %d bytes: write a shorter text, and end each line", execrun.ProgressLineMax)
	case !utf8.Valid(line):
		return 0, "", errors.New("it is no UTF-8: write text")
	case bytes.ContainsFunc(line, func(c rune) bool { return unicode.IsControl(c) && c != '\t' }):
		return 0, "", errors.New("it has control characters: write text, without colours or cursor movements")
	}
	text = strings.TrimSpace(string(line))
	word, rest, _ := strings.Cut(strings.ReplaceAll(text, "\t", " "), " ")
	number := strings.TrimSuffix(word, "%")
	if !isNumber(number) {
		return last, text, nil
	}
	whole, fraction, _ := strings.Cut(number, ".")
	tenths := 0
	if fraction != "" {
		tenths = int(fraction[0] - '0') // cut, not rounded: 1,000 is said only of what is done
	}
	percent, err := strconv.Atoi(whole)
	if err != nil || whole[0] == '-' || percent > 100 || percent == 100 && strings.Trim(fraction, "0") != "" {
		return 0, "", fmt.Errorf("it begins with %s, and a percentage is 0 to 100: write one before a text that begins with a number", word)
	}
	return percent*10 + tenths, strings.TrimSpace(rest), nil
}

// isNumber reports whether s is a decimal number, such as 7, -7 or 7.25.
func isNumber(s string) bool {
	whole, fraction, dotted := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	digits := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	return whole != "" && digits(whole) && digits(fraction) && (!dotted || fraction != "")
}
