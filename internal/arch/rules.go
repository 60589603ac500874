package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Rule is one rule of the house.
type Rule struct {
	Name  string
	Check func(*File) []Violation
}

// Violation is one place that breaks a rule.
type Violation struct {
	Path string
	Line int
	What string // what is wrong, as a clause
	Cure string // what to do instead, as a sentence
}

func (v Violation) String() string {
	return fmt.Sprintf("%s:%d: %s.\n\tCure: %s", v.Path, v.Line, v.What, v.Cure)
}

// Rules lists every rule.
func Rules() []Rule {
	return []Rule{
		{"PureImports", pureImports},
		{"PureSteps", pureSteps},
		{"NoFloats", noFloats},
		{"Bbolt", onlyIn(bboltRule)},
		{"Grpc", onlyIn(grpcRule)},
		{"EngineWiring", engineWiring},
		{"WireBelow", wireBelow},
		{"Clock", clock},
		{"Randomness", randomness},
		{"FileSize", fileSize},
		{"NoSleepInTests", noSleepInTests},
	}
}

// namedPackages are the packages that the rules speak of. One that is missing
// is a rule that guards nothing.
var namedPackages = []string{
	"client", "cmd", "gen", "worker",
	"internal/batch", "internal/consensus", "internal/engine", "internal/rpc",
	"internal/scheduler", "internal/session", "internal/sim", "internal/store", "internal/wire", "internal/workercore",
}

// purePackages are the core and the step machines, each with the packages of
// this module that it may import beside those below itself. Pure means: a
// function of its inputs; the simulator drives these very types, and replay
// must give the same state bit for bit.
var purePackages = map[string][]string{
	"internal/scheduler":  nil,
	"internal/batch":      {"internal/scheduler"},
	"internal/session":    {"internal/scheduler"},
	"internal/workercore": nil,
}

// pureStd are the packages of the standard library that a pure package may
// import: none reads a clock, a disk, a network or a random source, or holds a
// goroutine.
var pureStd = []string{
	"bytes", "cmp", "container/heap", "crypto/sha256", "encoding/binary",
	"errors", "fmt", "hash", "hash/crc32", "hash/fnv", "iter", "maps", "math",
	"math/bits", "slices", "sort", "strconv", "strings", "unicode/utf8",
}

// pureOwner tells which pure package a directory belongs to, or "".
func pureOwner(dir string) string {
	for pkg := range purePackages {
		if within(dir, pkg) {
			return pkg
		}
	}
	return ""
}

// pureImports keeps the fixed import lists of the pure packages. Their tests
// are free.
func pureImports(f *File) []Violation {
	owner := pureOwner(path.Dir(f.Path))
	if owner == "" || f.isTest() {
		return nil
	}
	var bad []Violation
	for _, imp := range f.imports() {
		if slices.Contains(pureStd, imp.path) {
			continue
		}
		local, inModule := strings.CutPrefix(imp.path, Module+"/")
		if inModule && (within(local, owner) || within(local, purePackages[owner]...)) {
			continue
		}
		cure := "Pass what is needed in as a message or return it as an effect, and leave the import to the shell (engine, rpc, worker). Times and durations are integers of nanoseconds here."
		if inModule {
			cure = "Turn the arrow round: the shell translates into the types of " + owner + "."
		}
		bad = append(bad, Violation{f.Path, f.line(imp.spec),
			fmt.Sprintf("%s is pure and may not import %q", owner, imp.path), cure})
	}
	return bad
}

// simulator has one thread, one seed and fake time. Its program, below it, runs
// worlds side by side and says how fast.
const simulator = "internal/sim"

// pureSteps keeps goroutines and channels out of the pure packages: a step
// returns its actions, and whoever holds the machine carries them out. The
// simulator has none either: a seed must have one history.
func pureSteps(f *File) []Violation {
	owner := pureOwner(path.Dir(f.Path))
	if path.Dir(f.Path) == simulator {
		owner = simulator
	}
	if owner == "" || f.isTest() {
		return nil
	}
	var bad []Violation
	report := func(n ast.Node, what string) {
		bad = append(bad, Violation{f.Path, f.line(n),
			fmt.Sprintf("%s is a step machine and may not %s", owner, what),
			"Return the action from the step; the shell owns goroutines, channels and timers."})
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.GoStmt:
			report(n, "start a goroutine")
		case *ast.SelectStmt:
			report(n, "select over channels")
		case *ast.ChanType:
			report(n, "have a channel")
		}
		return true
	})
	return bad
}

// noFloats keeps floating point out of the core, where rounding could differ
// between machines or compilers and with it the state.
func noFloats(f *File) []Violation {
	if !f.within("internal/scheduler") || f.isTest() {
		return nil
	}
	var bad []Violation
	ast.Inspect(f.ast, func(n ast.Node) bool {
		float := false
		switch n := n.(type) {
		case *ast.Ident:
			float = n.Name == "float64" || n.Name == "float32"
		case *ast.BasicLit:
			float = n.Kind == token.FLOAT || n.Kind == token.IMAG
		}
		if float {
			bad = append(bad, Violation{f.Path, f.line(n),
				"internal/scheduler computes with floats",
				"Count in integers: nanoseconds, parts per million, fixed point, or math/bits.Mul64 and Div64."})
		}
		return true
	})
	return bad
}

// confined says who may import a package.
type confined struct {
	path    string   // the import path, and those below it
	allowed []string // directories; test files are free everywhere
	cure    string
}

var bboltRule = confined{
	path:    "go.etcd.io/bbolt",
	allowed: []string{"internal/store", "internal/consensus", "tests", "bench"},
	cure:    "Declare what you need as an interface beside its user, and let internal/store implement it.",
}

var grpcRule = confined{
	path:    "google.golang.org/grpc",
	allowed: []string{"internal/rpc", "internal/wire", "client", "worker", "cmd", "gen", "tests", "bench"},
	cure:    "Return an error or value of your own; internal/rpc (or the SDK) maps it to gRPC.",
}

// onlyIn makes the rule that only some directories import a package.
func onlyIn(c confined) func(*File) []Violation {
	return func(f *File) []Violation {
		if f.isTest() || f.within(c.allowed...) {
			return nil
		}
		var bad []Violation
		for _, imp := range f.imports() {
			if within(imp.path, c.path) {
				bad = append(bad, Violation{f.Path, f.line(imp.spec),
					fmt.Sprintf("only %s import %q", strings.Join(c.allowed, ", "), imp.path), c.cure})
			}
		}
		return bad
	}
}

// engineWiring keeps the engine apart from its log and its store. Its tests
// are free.
func engineWiring(f *File) []Violation {
	if f.isTest() || !f.within("internal/engine") {
		return nil
	}
	var bad []Violation
	for _, imp := range f.imports() {
		local, _ := strings.CutPrefix(imp.path, Module+"/")
		if within(local, "internal/store", "internal/consensus") {
			bad = append(bad, Violation{f.Path, f.line(imp.spec),
				fmt.Sprintf("internal/engine imports %q", imp.path),
				"Add to the engine's own Log or Storage interface; cmd/coordinator hands the implementation in."})
		}
	}
	return bad
}

// wireBelow keeps the codec of the SDKs and the server below both: of this module it sees the contract alone.
func wireBelow(f *File) []Violation {
	if f.isTest() || !f.within("internal/wire") {
		return nil
	}
	var bad []Violation
	for _, imp := range f.imports() {
		if local, ok := strings.CutPrefix(imp.path, Module+"/"); ok && !within(local, "gen/yardmaster") {
			bad = append(bad, Violation{f.Path, f.line(imp.spec),
				fmt.Sprintf("internal/wire imports %q", imp.path),
				"Leave the translation to its users; here messages only become bytes and back."})
		}
	}
	return bad
}

// mayTellTime reports whether a file may read the clock and draw randomness:
// the engine's clock, the SDKs, the programs, tests, benchmarks and tools.
func mayTellTime(f *File) bool {
	return f.isTest() || f.Path == "internal/engine/clock.go" ||
		f.within("client", "worker", "cmd", "tests", "bench", "tools", simulator+"/yardsim")
}

// clock keeps readings of the clock to the few who may. Timers and contexts
// with time-outs are no readings.
func clock(f *File) []Violation {
	if mayTellTime(f) {
		return nil
	}
	const cure = "Take a clock (a func() time.Time, or the engine's clock) from whoever constructs you."
	var bad []Violation
	for _, sel := range f.uses("time", "Now", "Since", "Until") {
		bad = append(bad, Violation{f.Path, f.line(sel),
			"time." + sel.Sel.Name + " reads the clock here", cure})
	}
	for _, imp := range f.imports() {
		if imp.path == "time" && imp.name == "." {
			bad = append(bad, Violation{f.Path, f.line(imp.spec),
				"a dot import of time hides readings of the clock", "Import it by its name."})
		}
	}
	return bad
}

// randomSources are the packages that draw randomness.
var randomSources = []string{"math/rand", "math/rand/v2", "crypto/rand", "hash/maphash"}

// randomness keeps random sources to the few who may read the clock.
func randomness(f *File) []Violation {
	if mayTellTime(f) {
		return nil
	}
	var bad []Violation
	for _, imp := range f.imports() {
		if imp.path == "math/rand/v2" && path.Dir(f.Path) == simulator {
			continue // its one source is made of its seed
		}
		if slices.Contains(randomSources, imp.path) {
			bad = append(bad, Violation{f.Path, f.line(imp.spec),
				fmt.Sprintf("%q draws randomness here", imp.path),
				"Take a seed or a source from whoever constructs you; in the core use a counter or a hash of ids."})
		}
	}
	return bad
}

const (
	// FileLinesMax is the most lines that a hand-written file may have.
	FileLinesMax = 800
	// FileLinesUnexplained is the most that one may have without a reason.
	FileLinesUnexplained = 400

	reasonWithin = 30 // lines from the top in which the reason stands
)

// reasonFor matches the comment that says why a file is long. A few letters are
// no reason.
var reasonFor = regexp.MustCompile(`(?m)^(?://|/\*)?\s*size: *(\S.{14,})$`)

// sizeReason returns what the file says about its length, or "".
func sizeReason(f *File) string {
	for _, group := range f.ast.Comments {
		for _, comment := range group.List {
			if f.line(comment) > reasonWithin {
				return ""
			}
			if m := reasonFor.FindStringSubmatch(comment.Text); m != nil {
				return m[1]
			}
		}
	}
	return ""
}

// fileSize keeps files short enough to be read in one go.
func fileSize(f *File) []Violation {
	if f.isGenerated() {
		return nil
	}
	switch {
	case f.Lines > FileLinesMax:
		return []Violation{{f.Path, f.Lines,
			fmt.Sprintf("%d lines, the most is %d", f.Lines, FileLinesMax),
			"Split it by noun: one noun a file."}}
	case f.Lines > FileLinesUnexplained && sizeReason(f) == "":
		return []Violation{{f.Path, f.Lines,
			fmt.Sprintf("%d lines, and over %d need a reason", f.Lines, FileLinesUnexplained),
			"Split it by noun; or, if it is one noun, say so in its first " +
				fmt.Sprint(reasonWithin) + " lines: `// size: why this stays in one piece`."}}
	}
	return nil
}

// noSleepInTests keeps tests from waiting for a while and hoping. A sleep
// written inside a synctest bubble is fake time and may stay.
func noSleepInTests(f *File) []Violation {
	if !f.isTest() {
		return nil
	}
	var bubbles []ast.Node
	for _, sel := range f.uses("testing/synctest", "Test") {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && call.Fun == ast.Expr(sel) {
				bubbles = append(bubbles, call)
			}
			return true
		})
	}
	var bad []Violation
	for _, sleep := range f.uses("time", "Sleep") {
		fake := slices.ContainsFunc(bubbles, func(b ast.Node) bool {
			return b.Pos() <= sleep.Pos() && sleep.End() <= b.End()
		})
		if !fake {
			bad = append(bad, Violation{f.Path, f.line(sleep),
				"time.Sleep in a test",
				"Wait for a signal (a channel, a callback, a watch), or run the test in testing/synctest; at worst poll with a time.Ticker under a deadline."})
		}
	}
	return bad
}
