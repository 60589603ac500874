package rpc

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// told is what the source does with a reason.
type told struct {
	codes   []string // as gRPC's documents write them, of calls that name one
	retries bool     // some call adds RetryInfo
}

// sourceReasons finds the reasons in this package's source, by the names of their constants, and what refuse is called with.
func sourceReasons(t *testing.T) map[string]*told {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	var calls []*ast.CallExpr
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, id := range n.Names {
					if strings.HasPrefix(id.Name, "Reason") && i < len(n.Values) {
						values[id.Name] = literal(t, n.Values[i])
					}
				}
			case *ast.CallExpr:
				calls = append(calls, n)
			case *ast.KeyValueExpr: // ErrorInfo{Reason: …} made elsewhere than by refuse
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Reason" {
					if _, ok := n.Value.(*ast.Ident); !ok {
						t.Errorf("%s: an ErrorInfo's reason isn't one of the constants", name)
					}
				}
			}
			return true
		})
	}
	reasons := map[string]*told{}
	for _, value := range values {
		reasons[value] = &told{}
	}
	for _, call := range calls {
		fun, ok := call.Fun.(*ast.Ident)
		if !ok || fun.Name != "refuse" || len(call.Args) < 4 {
			continue
		}
		reason, ok := call.Args[1].(*ast.Ident)
		if !ok {
			t.Errorf("refuse is called with a reason that isn't one of the constants")
			continue
		}
		r, code := reasons[values[reason.Name]], call.Args[0].(*ast.SelectorExpr).Sel.Name
		if r == nil {
			continue // a parameter
		}
		r.codes = append(r.codes, words(code))
		zero, isLiteral := call.Args[2].(*ast.BasicLit)
		r.retries = r.retries || !isLiteral || zero.Value != "0"
	}
	return reasons
}

func literal(t *testing.T, e ast.Expr) string {
	t.Helper()
	text, err := strconv.Unquote(e.(*ast.BasicLit).Value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var wordStart = regexp.MustCompile(`(.)([A-Z])`)

// words writes ResourceExhausted as RESOURCE_EXHAUSTED, and Canceled as gRPC's documents do.
func words(code string) string {
	if code == "Canceled" {
		return "CANCELLED"
	}
	return strings.ToUpper(wordStart.ReplaceAllString(code, "${1}_$2"))
}

var reasonRow = regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| ([A-Z_, ]+) \\| ([^|]+) \\| ([^|]+) \\|$")

// TestReasonsAreDocumented holds docs/errors.md and the source together.
func TestReasonsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	source, documented := sourceReasons(t), map[string]bool{}
	if len(source) < 20 {
		t.Fatalf("only %d reasons found in the source: %v", len(source), source)
	}
	for _, row := range reasonRow.FindAllStringSubmatch(string(text), -1) {
		reason, codes, cure := row[1], strings.Split(row[2], ", "), row[4]
		said := source[reason]
		switch {
		case documented[reason]:
			t.Errorf("%s is documented twice", reason)
		case said == nil:
			t.Errorf("%s is documented, and the source doesn't have it", reason)
			continue
		case said.retries && !strings.Contains(cure, "RetryInfo"):
			t.Errorf("%s comes with RetryInfo, which its row doesn't say", reason)
		case !said.retries && len(said.codes) > 0 && strings.Contains(cure, "RetryInfo") && !slices.Contains(said.codes, "RESOURCE_EXHAUSTED"):
			t.Errorf("%s comes without RetryInfo, and its row speaks of it", reason)
		}
		documented[reason] = true
		for _, code := range said.codes {
			if !slices.Contains(codes, code) {
				t.Errorf("%s is sent with %s, and documented with %v", reason, code, codes)
			}
		}
	}
	for reason := range source {
		if !documented[reason] {
			t.Errorf("%s isn't in docs/errors.md: add its row", reason)
		}
	}
}
