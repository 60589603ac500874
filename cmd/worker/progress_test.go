package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/yardmaster/yardmaster/internal/execrun"
	"github.com/yardmaster/yardmaster/worker"
)

func TestParseProgress(t *testing.T) {
	long := strings.Repeat("x", execrun.ProgressLineMax)
	for _, c := range []struct {
		line     string
		permille int
		text     string
	}{
		{"0", 0, ""}, {"7", 70, ""}, {"7%", 70, ""}, {"100", 1000, ""}, {"100.0", 1000, ""}, {"007", 70, ""},
		{"45.5 rendering", 455, "rendering"}, {"45.59% rendering", 455, "rendering"}, {"99.999", 999, ""},
		{" 50\tframe  12 of 24 ", 500, "frame  12 of 24"}, {"20 30 files", 200, "30 files"},
		{"half-way", 333, "half-way"}, {"20th frame", 333, "20th frame"}, {"3/4", 333, "3/4"}, {"1e2", 333, "1e2"}, {"+5", 333, "+5"},
		{"7.", 333, "7."}, {".5", 333, ".5"}, {"NaN", 333, "NaN"}, {"- 3 files", 333, "- 3 files"}, {"%", 333, "%"}, {"größer", 333, "größer"},
		{long, 333, long},
	} {
		permille, text, err := parseProgress([]byte(c.line), 333)
		if permille != c.permille || text != c.text || err != nil {
			t.Errorf("%.40q: %d, %.40q, %v; want %d, %.40q", c.line, permille, text, err, c.permille, c.text)
		}
	}
	for line, says := range map[string]string{
		"101": "begins with 101, and a percentage is 0 to 100", "100.1 x": "begins with 100.1", "-1 x": "begins with -1", "-0.5": "-0.5", "250 rows": "begins with 250",
		"99999999999999999999%": "begins with 99999999999999999999%", long + "y": "more than 1024 bytes",
		"50 \xff": "no UTF-8", "50 \x1b[31mred": "control characters", "10%\r20%": "control characters",
	} {
		if permille, text, err := parseProgress([]byte(line), 333); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: %d, %.40q, %v; want %q", line, permille, text, err, says)
		}
	}
}

func TestReporter(t *testing.T) {
	var said, warned []string
	r := &reporter{
		say:  func(permille int, text string) { said = append(said, fmt.Sprint(permille, " ", text)) },
		warn: func(line []byte, why error) { warned = append(warned, fmt.Sprintf("%s: %v", line, why)) },
	}
	for _, line := range []string{"start", "25 a", "b", strings.Repeat("z", 2000), "300", "30", "\x00"} {
		r.line([]byte(line))
	}
	if want := []string{"0 start", "250 a", "250 b", "300 "}; !slices.Equal(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
	if len(warned) != 1 || !strings.HasPrefix(warned[0], strings.Repeat("z", worker.ProgressMessageMax)+": it has more") {
		t.Errorf("%d warnings: %q", len(warned), warned)
	}
}
