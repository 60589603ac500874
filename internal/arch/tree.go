package arch

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Module is the import path of the root module.
const Module = "github.com/yardmaster/yardmaster"

// File is one parsed Go source file.
type File struct {
	// Path is relative to the root of the repository, with slashes.
	Path string
	// Lines counts the lines of the file.
	Lines int

	fset *token.FileSet
	ast  *ast.File
}

// Parse parses one source file. path is its place in the repository, relative
// to the root, with slashes: the rules go by it.
func Parse(path string, src []byte) (*File, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, path, src, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	lines := bytes.Count(src, []byte("\n"))
	if len(src) > 0 && src[len(src)-1] != '\n' {
		lines++
	}
	return &File{Path: path, Lines: lines, fset: fset, ast: tree}, nil
}

// Load parses every Go file of a tree, in order of path, the files of nested
// modules too. Directories that the go command ignores are skipped (testdata,
// vendor, and names that begin with a dot or an underscore).
func Load(tree fs.FS) ([]*File, error) {
	var files []*File
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed while the tree was walked
		}
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && ignoredDir(entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" || !entry.Type().IsRegular() {
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		file, err := Parse(name, src)
		if err != nil {
			return err
		}
		files = append(files, file)
		return nil
	})
	return files, err
}

func ignoredDir(name string) bool {
	return name == "testdata" || name == "vendor" || name == "node_modules" ||
		strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

// isTest reports whether only `go test` builds the file.
func (f *File) isTest() bool { return strings.HasSuffix(f.Path, "_test.go") }

// isGenerated reports whether a program wrote the file.
func (f *File) isGenerated() bool { return f.within("gen") || ast.IsGenerated(f.ast) }

// within reports whether the file lies in one of the directories or below it.
func (f *File) within(dirs ...string) bool { return within(path.Dir(f.Path), dirs...) }

func within(dir string, dirs ...string) bool {
	for _, d := range dirs {
		if dir == d || strings.HasPrefix(dir, d+"/") {
			return true
		}
	}
	return false
}

// line tells the line of a node.
func (f *File) line(n ast.Node) int { return f.fset.Position(n.Pos()).Line }

// imported is one import of a file.
type imported struct {
	path string // the import path
	name string // what the file calls it: "." and "_" as they stand
	spec *ast.ImportSpec
}

// imports lists the file's imports. Without types, the name of a package that
// the file doesn't rename is taken from its path, which is right for all that
// the rules ask for.
func (f *File) imports() []imported {
	list := make([]imported, 0, len(f.ast.Imports))
	for _, spec := range f.ast.Imports {
		importPath, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has let it pass, the compiler won't
		}
		name := path.Base(importPath)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		list = append(list, imported{path: importPath, name: name, spec: spec})
	}
	return list
}

// uses lists the places that mention one of the names of a package, called or
// not: `now: time.Now` reads the clock as well as `time.Now()` does.
func (f *File) uses(importPath string, names ...string) []*ast.SelectorExpr {
	local := ""
	for _, imp := range f.imports() {
		if imp.path == importPath {
			local = imp.name
		}
	}
	if local == "" || local == "." || local == "_" {
		return nil
	}
	var found []*ast.SelectorExpr
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		// An identifier that the parser resolved is a local variable, not
		// the package.
		if id, ok := sel.X.(*ast.Ident); ok && id.Name == local && id.Obj == nil {
			for _, name := range names {
				if sel.Sel.Name == name {
					found = append(found, sel)
				}
			}
		}
		return true
	})
	return found
}
