package settings

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Words says what Go's types are called in a file: "[]main.handler" is "a list of handlers". A type without a word of its
// own, and without one here, keeps its name.
type Words map[string]string

var words = Words{
	"string": "a text", "[]string": "a list of texts", "int": "a whole number", "[]int": "a list of whole numbers",
	"bool": "true or false", "map[string]string": "texts by name",
}

var (
	unknownField = regexp.MustCompile(`(?s)^line (\d+): field (.*) not found in type (\S+)$`)
	wrongType    = regexp.MustCompile("(?s)^line (\\d+): cannot unmarshal (.+?)(?: (`.*`))? into (\\S+)$")
)

// kinds are YAML's names of what stands in a file.
var kinds = map[string]string{"!!seq": "a list", "!!map": "a mapping", "!!str": "a text", "!!null": "nothing"}

// YAMLError says what is wrong with a file in the file's own words: those of the YAML package name types of the program.
func YAMLError(err error, more Words) error {
	var types *yaml.TypeError
	if !errors.As(err, &types) {
		return err
	}
	word := func(name string) string {
		for _, w := range []Words{more, words} {
			if text, ok := w[name]; ok {
				return text
			}
		}
		return name
	}
	var errs []error
	for _, text := range types.Errors {
		if m := unknownField.FindStringSubmatch(text); m != nil {
			text = fmt.Sprintf("line %s: %s has no key %q", m[1], word(m[3]), m[2])
		} else if m := wrongType.FindStringSubmatch(text); m != nil {
			got := m[3]
			if kind, ok := kinds[m[2]]; ok {
				got = strings.TrimSpace(kind + " " + got)
			} else if !strings.HasPrefix(m[2], "!!") { // a tag of the file's own, which may hold anything
				got = strings.TrimSpace(strings.Trim(strconv.Quote(m[2]), `"`) + " " + got)
			}
			text = fmt.Sprintf("line %s: want %s, got %s", m[1], word(m[4]), got)
		}
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}
