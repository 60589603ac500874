package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// TestMutantsApply shows that no mutant is stale: each text is found once, and what comes out is Go, formatted, and
// something else than before. Whether it compiles the run says.
func TestMutantsApply(t *testing.T) {
	all, err := LoadMutants("bugs")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 30 {
		t.Errorf("%d mutants, want at least 30", len(all))
	}
	covered := map[Invariant]bool{}
	for _, m := range all {
		if _, err := m.Mutate(root); err != nil {
			t.Errorf("%s: %v. Cure: give bugs/%s%s the text as it stands now, so that the same bug is planted", m.Name, err, m.Name, mutantSuffix)
		}
		for _, i := range m.Breaks {
			covered[i] = true
		}
		if m.Test != (Test{}) && usesRapid(t, m.Test.Package) && !strings.Contains(m.Test.Args, "-rapid.nofailfile") {
			t.Errorf("%s: its tests use rapid, which would leave a file in %s for a bug that isn't there. Cure: add -rapid.nofailfile", m.Name, m.Test.Package)
		}
	}
	for i := Invariant(1); i <= InvariantMax; i++ {
		if i != 3 && !covered[i] { // a lease is only ever made of a stored task
			t.Errorf("no mutant breaks invariant %d: %v", i, i)
		}
	}
}

// usesRapid reports whether tests of a package use rapid.
func usesRapid(t *testing.T, pkg string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("tests of %s: %v, %v", pkg, files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), `"pgregory.net/rapid"`) {
			return true
		}
	}
	return false
}

const whole = `bug: One thing
  and another.
breaks: 6, 14
sim: no: it is simulated
test: ./internal/x ^TestX$ -n 3
=== a.go
--- find
	one()
--- put
	two()
--- end
=== dir/b.go
--- find
	three()
	four()
--- put
--- end
`

func TestParse(t *testing.T) {
	m, err := ParseMutant("name", whole)
	if err != nil {
		t.Fatal(err)
	}
	if m.Bug != "One thing and another." || !slices.Equal(m.Breaks, []Invariant{6, 14}) || m.NoSim != "it is simulated" ||
		m.Test != (Test{"./internal/x", "^TestX$", "-n 3"}) {
		t.Errorf("fields: %+v", m)
	}
	want := []Edit{{"a.go", "\tone()", "\ttwo()"}, {"dir/b.go", "\tthree()\n\tfour()", ""}}
	if !slices.Equal(m.Edits, want) {
		t.Errorf("edits %q, want %q", m.Edits, want)
	}
	if got := m.Packages(); !slices.Equal(got, []string{"./.", "./dir"}) {
		t.Errorf("packages %q", got)
	}
}

func TestParseRefuses(t *testing.T) {
	_, body, _ := strings.Cut(whole, "===")
	edits := "===" + body
	for _, c := range []struct{ was, is, says string }{
		{"bug: One thing\n  and another.\n", "", "field bug"},
		{"breaks: 6, 14\n", "", "field breaks"},
		{"breaks: 6, 14", "breaks: 18", "1 to 17"},
		{"sim: no: it is simulated", "sim: no", "and why"},
		{"test: ./internal/x ^TestX$ -n 3\n", "", "field test"},
		{"test: ./internal/x ^TestX$", "test: ./internal/x ^Test(", "a pattern"},
		{"test:", "tests:", "no field"},
		{"bug: One thing", "breaks: 3", "each field once"},
		{"=== a.go", "=== ../a.go", "root of the repository"},
		{"=== a.go", "=== a.txt", "Go file"},
		{"--- find\n\tone()\n", "--- find\n", "nothing to find"},
		{"--- put\n--- end\n", "--- put\n", "no \"--- end\""},
		{"--- find\n\tone()\n--- put\n\ttwo()\n--- end\n", "one()\n", "want \"===\""},
		{edits, "", "no edit"},
	} {
		_, err := ParseMutant("name", strings.Replace(whole, c.was, c.is, 1))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q for %q: error %v, want one that says %q", c.is, c.was, err, c.says)
		}
	}
}

const source = "package p\n\n// F is it.\nfunc F(a int) int {\n\ta++\n\tif a > 1 {\n\t\ta++\n\t}\n\treturn a\n}\n"

func TestMutate(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ find, put, says string }{
		{"\tif a > 1 {", "\tif a > 2 {", ""},
		{"\treturn a", "\treturn 0 // nothing", ""},
		{"\tif a > 3 {", "\tif a > 2 {", "stale: p.go doesn't hold"},
		{"if a > 1 {", "if a > 2 {", "stale: p.go doesn't hold"}, // whole lines
		{"\ta++", "\ta--", ""},
		{"\treturn a", "\treturn a // as it was", "changes nothing"},
		{"\tif a > 1 {", "\tif a > {", "no Go"},
		{"\treturn a", "    return 0", "gofmt"},
	} {
		m := &Mutant{Edits: []Edit{{"p.go", c.find, c.put}}}
		files, err := m.Mutate(dir)
		if c.says == "" {
			if err != nil || !strings.Contains(string(files["p.go"]), c.put) {
				t.Errorf("%q: %v", c.put, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q for %q: error %v, want one that says %q", c.put, c.find, err, c.says)
		}
	}
	twice := strings.ReplaceAll(source, "\t\ta++", "\t\tb()\n\t\tb()")
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(twice), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &Mutant{Edits: []Edit{{"p.go", "\t\tb()", "\t\tc()"}}}
	if _, err := m.Mutate(dir); err == nil || !strings.Contains(err.Error(), "2 times") {
		t.Errorf("a text that is there twice: %v", err)
	}
}
