package name

import (
	"regexp"
	"strings"
	"testing"
)

// FuzzValid: what is a name is what the regular expression says, which documentation and other languages use.
func FuzzValid(f *testing.F) {
	for _, s := range []string{"", "a", "0", "-", "a-", "mail.eu_1", "A", "a b", "ä", "a\x00", "a\n", strings.Repeat("a", BytesMax), strings.Repeat("a", BytesMax+1)} {
		f.Add(s)
	}
	form := regexp.MustCompile(`\A` + Form + `\z`)
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := Valid(s), form.MatchString(s); got != want {
			t.Fatalf("%q: %t, the expression says %t", s, got, want)
		}
	})
}
