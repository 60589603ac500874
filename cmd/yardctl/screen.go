package main

import (
	"strings"
	"unicode/utf8"
)

// style is how a piece of text looks: the parameters of an ANSI SGR sequence. Only the 16 colours are used, which follow the
// terminal's own theme.
type style string

const (
	stylePlain style = ""
	styleBold  style = "1"
	styleDim   style = "2"
	styleBad   style = "1;31"
	styleGood  style = "32"
	styleWarn  style = "33"
	styleHead  style = "4"
	styleFocus style = "7"
)

// piece is text of one style. Its text has one column a rune.
type piece struct {
	style style
	text  string
}

func plain(text string) piece           { return piece{stylePlain, text} }
func styled(s style, text string) piece { return piece{s, text} }
func (p piece) width() int              { return utf8.RuneCountInString(p.text) }

// screenLine is one line of a screen.
type screenLine struct{ spans []piece }

func line(spans ...piece) screenLine { return screenLine{spans} }

// all gives the whole line, filled up to width, one style.
func (l screenLine) all(s style, width int) screenLine {
	var text strings.Builder
	for _, p := range l.spans {
		text.WriteString(p.text)
	}
	filled := text.String()
	if gap := width - utf8.RuneCountInString(filled); gap > 0 && s == styleFocus {
		filled += strings.Repeat(" ", gap)
	}
	return line(styled(s, filled))
}

// cut cuts the line at width; a cut one ends in "…".
func (l screenLine) cut(width int) screenLine {
	total := 0
	for _, p := range l.spans {
		total += p.width()
	}
	if total <= width {
		return l
	}
	var short screenLine
	room := width - 1
	for _, p := range l.spans {
		runes := []rune(p.text)
		if len(runes) > room {
			p.text = string(runes[:room]) + "…"
			short.spans = append(short.spans, p)
			break
		}
		short.spans = append(short.spans, p)
		room -= len(runes)
	}
	return short
}

// text writes the line, with its looks if colour is set. Blanks at its end that nobody sees are left out.
func (l screenLine) text(colour bool) string {
	var b strings.Builder
	for _, p := range l.spans {
		if !colour || p.style == stylePlain || p.text == "" {
			b.WriteString(p.text)
			continue
		}
		b.WriteString("\x1b[" + string(p.style) + "m" + p.text + "\x1b[0m")
	}
	return strings.TrimRight(b.String(), " ")
}

// screenText writes lines, cut to width, with newlines between them. What a terminal would obey is replaced.
func screenText(lines []screenLine, width int, colour bool) string {
	texts := make([]string, len(lines))
	for i, l := range lines {
		for j := range l.spans {
			l.spans[j].text = printable(l.spans[j].text)
		}
		texts[i] = l.cut(width).text(colour)
	}
	return strings.Join(texts, "\n")
}
