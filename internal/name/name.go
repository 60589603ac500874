// Package name says what may name a kind, queue, worker, pool or label key.
//
// Internal/scheduler, which imports nothing, has the same rule of its own; a test holds the two together.
package name

// Rule is what a name looks like, for those who are told that theirs isn't one.
const Rule = "1 to 63 characters of a-z, 0-9, '.', '_', '-', the first a letter or digit"

// Form is the same as a regular expression.
const Form = `[a-z0-9][a-z0-9._-]{0,62}`

// BytesMax is the longest name.
const BytesMax = 63

// Valid reports whether s is a name: of Form, from its beginning to its end.
func Valid(s string) bool {
	if s == "" || len(s) > BytesMax {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}
