package arch

import (
	"io/fs"
	"os"
	"strings"
	"testing"
)

// root is where `go test` stands, seen from the root of the repository.
const root = "../.."

// allNamedPackagesLanded makes a named package that is missing a failure.
const allNamedPackagesLanded = true

// TestHouse holds every rule against every file of the repository.
func TestHouse(t *testing.T) {
	mod, err := os.ReadFile(root + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(mod), "module "+Module+"\n") {
		t.Fatalf("go.mod does not begin with module %s. Cure: let the constant Module follow it.", Module)
	}
	files, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			for _, file := range files {
				for _, v := range rule.Check(file) {
					t.Error(v)
				}
			}
		})
	}
	for _, file := range files {
		if file.Lines > FileLinesUnexplained && !file.isGenerated() {
			t.Logf("long: %s, %d lines: %s", file.Path, file.Lines, sizeReason(file))
		}
	}
}

// TestNamedPackages fails when a rule guards a package that isn't there, as
// after a renaming.
func TestNamedPackages(t *testing.T) {
	tree := os.DirFS(root)
	for _, dir := range namedPackages {
		info, err := fs.Stat(tree, dir)
		switch {
		case err == nil && info.IsDir():
		case allNamedPackagesLanded:
			t.Errorf("%s is not there, and rules speak of it. Cure: give the tables in rules.go its new name.", dir)
		default:
			t.Logf("%s is not there yet; its rules guard nothing", dir)
		}
	}
	for pkg := range purePackages {
		if !within(pkg, namedPackages...) {
			t.Errorf("%s is missing from namedPackages", pkg)
		}
	}
}
