package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// Sizes of the picture's characters and margins, in pixels.
const (
	svgCharWidth, svgLineHeight, svgMargin = 8.4, 18.0, 14.0
)

// svgColours are what the styles of a frame look like in the picture: foreground, and weight.
var svgStyles = map[style]string{
	stylePlain: `fill="#d8dee9"`,
	styleBold:  `fill="#ffffff" font-weight="bold"`,
	styleDim:   `fill="#7b8794"`,
	styleBad:   `fill="#ff6b6b" font-weight="bold"`,
	styleGood:  `fill="#7ddc8a"`,
	styleWarn:  `fill="#f2c94c"`,
	styleHead:  `fill="#d8dee9" text-decoration="underline"`,
	styleFocus: `fill="#11161d"`,
}

// svgOf draws a coloured frame. Each piece of text has its place and its length given, so that columns stand straight in
// whatever monospaced font the reader has.
func svgOf(frame string, width, height int) string {
	var b strings.Builder
	w, h := float64(width)*svgCharWidth+2*svgMargin, float64(height)*svgLineHeight+2*svgMargin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.1f %.1f" width="%.0f" height="%.0f" role="img">`+"\n", w, h, w, h)
	fmt.Fprintln(&b, `<title>yardctl top</title>`)
	fmt.Fprintf(&b, `<rect width="%.1f" height="%.1f" rx="8" fill="#11161d"/>`+"\n", w, h)
	fmt.Fprintln(&b, `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" xml:space="preserve" style="white-space:pre">`)
	for row, line := range strings.Split(frame, "\n") {
		y := svgMargin + float64(row)*svgLineHeight
		column := 0
		for _, p := range pieces(line) {
			x, length := svgMargin+float64(column)*svgCharWidth, float64(p.width())*svgCharWidth
			column += p.width()
			if p.style == styleFocus {
				fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#d8dee9"/>`+"\n", x, y, length, svgLineHeight)
			}
			if strings.TrimSpace(p.text) == "" {
				continue
			}
			var text strings.Builder
			if err := xml.EscapeText(&text, []byte(p.text)); err != nil {
				panic(err)
			}
			fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" textLength="%.1f" lengthAdjust="spacingAndGlyphs" %s>%s</text>`+"\n",
				x, y+svgLineHeight-4.5, length, svgStyles[p.style], text.String())
		}
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

// pieces takes a coloured line apart again.
func pieces(line string) (all []piece) {
	for i, part := range strings.Split(line, "\x1b[") {
		now := stylePlain
		if i > 0 {
			code, text, _ := strings.Cut(part, "m")
			part = text
			if code != "0" {
				now = style(code)
			}
		}
		if part != "" {
			all = append(all, piece{now, part})
		}
	}
	return all
}

// The picture in the docs is what top draws: -update makes it anew.
func TestPicture(t *testing.T) {
	v := topSample()
	v.colour = true
	const width, height = 110, 32
	frame := v.frame(width, height)
	picture := svgOf(frame, width, height)
	golden(t, "../../docs/images/top.svg", picture)
	v.colour = false
	var text strings.Builder
	decoder := xml.NewDecoder(strings.NewReader(picture))
	inText := false
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			inText = token.Name.Local == "text"
			for _, attr := range token.Attr {
				if strings.Contains(attr.Value, "url(") || attr.Name.Local == "href" {
					t.Errorf("the picture refers to something outside: %s", attr.Value)
				}
			}
		case xml.CharData:
			if inText {
				text.Write(token)
			}
		case xml.EndElement:
			inText = false
		}
	}
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
	if got, want := squeeze(text.String()), squeeze(v.frame(width, height)); got != want {
		t.Errorf("the picture's text is not the frame's:\n%s\nwant\n%s", got, want)
	}
}
