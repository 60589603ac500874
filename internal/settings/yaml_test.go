package settings

import (
	"bytes"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestYAMLErrorsAreOfTheFile(t *testing.T) {
	type item struct {
		Name string   `yaml:"name"`
		Size int      `yaml:"size"`
		Args []string `yaml:"args"`
	}
	type file struct {
		Items []item `yaml:"items"`
	}
	words := Words{"settings.file": "the file", "settings.item": "an item", "[]settings.item": "a list of items"}
	for text, want := range map[string]string{
		"itms: []":                    `line 1: the file has no key "itms"`,
		"items:\n- {name: a, b: c}":   `line 2: an item has no key "b"`,
		"\"\": []":                    `line 1: the file has no key ""`,
		"items: 3":                    "line 1: want a list of items, got `3`",
		"items: word":                 "line 1: want a list of items, got a text `word`",
		"- a":                         "line 1: want the file, got a list",
		"items: [{size: x}]":          "line 1: want a whole number, got a text `x`",
		"items: [{args: {}}]":         "line 1: want a list of texts, got a mapping",
		"items: !mine word":           "line 1: want a list of items, got !mine `word`",
		"items: !mine {}":             "line 1: want a list of items, got !mine ``",
		"items: !a%0d b":              `line 1: want a list of items, got !a\r ` + "`b`",
		"items: \"two\\nlines\"":      "line 1: want a list of items, got a text `two\nlines`",
		"items: [{name: a, name: b}]": `line 1: mapping key "name" already defined at line 1`,
		": {":                         "yaml: did not find expected key",
	} {
		dec := yaml.NewDecoder(bytes.NewReader([]byte(text)))
		dec.KnownFields(true)
		if err := YAMLError(dec.Decode(&file{}), words); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
