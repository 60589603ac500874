package arch

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// TestLinks follows every relative link of every Markdown file of the repository.
func TestLinks(t *testing.T) {
	tree := os.DirFS(root)
	docs, err := LoadDocs(tree)
	if err != nil {
		t.Fatal(err)
	}
	if docs["README.md"] == nil || docs["docs/README.md"] == nil {
		t.Fatal("README.md and docs/README.md were not found: is root right?")
	}
	for _, d := range docs {
		for _, v := range BrokenLinks(tree, docs, d) {
			t.Error(v)
		}
	}
}

// TestBrokenLinks shows the rule bad links that it must find and good ones that it must let pass.
func TestBrokenLinks(t *testing.T) {
	const other = "# What counts\n\n## Hello → Welcome\n\n## Same\n\n## Same\n\n## `check` and [it](x.md)\n\n" +
		"## File_name, 2nd.\n\n```\n# not a heading\n```\n\n<a id=\"here\"></a>\n"
	cases := []struct {
		link string
		want string // part of what is wrong; "" where nothing is
	}{
		{"[a](other.md)", ""},
		{"[`a`](other.md#what-counts)", ""},
		{"[a](other.md#hello--welcome)", ""},
		{"[a](other.md#same), [b](other.md#same-1)", ""},
		{"[a](other.md#check-and-it)", ""},
		{"[a](other.md#file_name-2nd)", ""},
		{"[a](other.md#here)", ""},
		{"[a](../proto)", ""},
		{"[a](../proto/x.proto#L12)", ""},
		{"![picture](images/top.svg \"top\")", ""},
		{"<img src=\"images/top.svg\" alt=\"\">", ""},
		{"[a](https://example.com/nowhere.md), [b](mailto:a@example.com)", ""},
		{"`[a](nowhere.md)`", ""},
		{"```\n[a](nowhere.md)\n```", ""},
		{"[a](#page)", ""},
		{"[a]: other.md", ""},

		{"[a](nowhere.md)", "docs/nowhere.md, which isn't there"},
		{"[a](Other.md)", "docs/Other.md, which isn't there"},
		{"see [a](other.md) and [b](nowhere.md)", "nowhere.md"},
		{"[a](other.md#same-2)", "a heading that docs/other.md doesn't have"},
		{"[a](other.md#not-a-heading)", "a heading that docs/other.md doesn't have"},
		{"[a](#nowhere)", "a heading that docs/page.md doesn't have"},
		{"[a](../../x.md)", "leaves the repository"},
		{"[a](/docs/other.md)", "begins at the root"},
		{"![picture](images/gone.svg)", "images/gone.svg"},
		{"<img alt=\"\" src=\"images/gone.svg\">", "images/gone.svg"},
		{"[a]: nowhere.md", "nowhere.md"},
	}
	for _, c := range cases {
		tree := fstest.MapFS{
			"docs/page.md": {Data: []byte("# Page\n\n" + c.link + "\n")}, "docs/other.md": {Data: []byte(other)},
			"docs/images/top.svg": {}, "proto/x.proto": {}, "testdata/skipped.md": {Data: []byte("[a](nowhere.md)")},
		}
		docs, err := LoadDocs(tree)
		if err != nil {
			t.Fatal(err)
		}
		if docs["testdata/skipped.md"] != nil {
			t.Error("testdata isn't skipped")
		}
		bad := BrokenLinks(tree, docs, docs["docs/page.md"])
		switch {
		case c.want == "" && len(bad) > 0:
			t.Errorf("%s: refused: %v", c.link, bad)
		case c.want != "" && len(bad) != 1:
			t.Errorf("%s: %d violations, want 1: %v", c.link, len(bad), bad)
		case c.want != "" && !strings.Contains(bad[0].String(), c.want):
			t.Errorf("%s: %v, want %q", c.link, bad[0], c.want)
		case c.want != "" && bad[0].Line < 3:
			t.Errorf("%s: line %d", c.link, bad[0].Line)
		}
	}
}
