package name

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

var form = regexp.MustCompile(`^` + Form + `\z`)

func check(t interface{ Fatalf(string, ...any) }, s string) {
	if got := Valid(s); got != form.MatchString(s) || got != scheduler.ValidName(s) {
		t.Fatalf("%q: valid %t, of the form %t, valid for the core %t", s, got, form.MatchString(s), scheduler.ValidName(s))
	}
}

// TestOneRule holds the function, the form that messages show, and the core's rule together.
func TestOneRule(t *testing.T) {
	for _, s := range []string{"", "a", "0", "-a", ".", "_", "a-", "A", "aB", "a b", "a\n", "é", "a\x00", strings.Repeat("a", 63), strings.Repeat("a", 64)} {
		check(t, s)
	}
	for c := range 256 {
		check(t, string([]byte{byte(c)}))
		check(t, string([]byte{'a', byte(c)}))
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.StringOfN(rapid.RuneFrom([]rune("az09._-Aé\n")), 0, 70, -1).Draw(t, "name"))
	})
}
