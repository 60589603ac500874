package arch

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// TestRules shows each rule a bad source that it must refuse and good ones, near
// the line, that it must let pass.
func TestRules(t *testing.T) {
	const (
		importTime = "package x\nimport \"time\"\nvar _ time.Duration\n"
		readClock  = "package x\nimport \"time\"\nvar now = time.Now\n"
		importBolt = "package x\nimport _ \"go.etcd.io/bbolt\"\n"
		importGrpc = "package x\nimport _ \"google.golang.org/grpc/codes\"\n"
		importRand = "package x\nimport _ \"math/rand/v2\"\n"
		sleep      = "package x\nimport \"time\"\nfunc f() { time.Sleep(1) }\n"
	)
	own := func(pkg string) string {
		return fmt.Sprintf("package x\nimport _ %q\n", Module+"/"+pkg)
	}
	long := func(head string, lines int) string {
		head += "package x\n"
		return head + strings.Repeat("\n", lines-strings.Count(head, "\n"))
	}
	cases := []struct {
		rule, path, src string
		want            string // part of what is wrong; "" where nothing is
	}{
		{"PureImports", "internal/scheduler/a.go", importTime, `may not import "time"`},
		{"PureImports", "internal/scheduler/deep/a.go", importTime, `internal/scheduler is pure`},
		{"PureImports", "internal/batch/a.go", "package x\nimport _ \"sync/atomic\"\n", `"sync/atomic"`},
		{"PureImports", "internal/session/a.go", "package x\nimport _ \"context\"\n", `"context"`},
		{"PureImports", "internal/workercore/a.go", "package x\nimport _ \"os\"\n", `"os"`},
		{"PureImports", "internal/scheduler/a.go", "package x\nimport \"C\"\n", `"C"`},
		{"PureImports", "internal/scheduler/a.go", "package x\nimport _ \"unsafe\"\n", `"unsafe"`},
		{"PureImports", "internal/scheduler/a.go", "package x\nimport _ \"golang.org/x/exp/slices\"\n", `x/exp`},
		{"PureImports", "internal/scheduler/a.go", own("internal/batch"), `internal/batch"`},
		{"PureImports", "internal/batch/a.go", own("internal/session"), `internal/session"`},
		{"PureImports", "internal/workercore/a.go", own("internal/scheduler"), `internal/scheduler"`},
		{"PureImports", "internal/batch/a.go", own("internal/scheduler"), ""},
		{"PureImports", "internal/scheduler/a.go", own("internal/scheduler/deep"), ""},
		{"PureImports", "internal/scheduler/a.go", "package x\nimport _ \"container/heap\"\n", ""},
		{"PureImports", "internal/scheduler/a_test.go", importTime, ""},
		{"PureImports", "internal/schedulers/a.go", importTime, ""},

		{"PureSteps", "internal/batch/a.go", "package x\nfunc f() { go f() }\n", "start a goroutine"},
		{"PureSteps", "internal/session/a.go", "package x\nfunc f() { select {} }\n", "select over channels"},
		{"PureSteps", "internal/workercore/a.go", "package x\nvar c chan int\n", "have a channel"},
		{"PureSteps", "internal/engine/a.go", "package x\nvar c chan int\n", ""},

		{"PureSteps", "internal/sim/a.go", "package x\nfunc f() { go f() }\n", "start a goroutine"},
		{"PureSteps", "internal/sim/yardsim/a.go", "package x\nfunc f() { go f() }\n", ""},

		{"NoFloats", "internal/scheduler/a.go", "package x\nvar f float64\n", "floats"},
		{"NoFloats", "internal/scheduler/a.go", "package x\nvar f = 0.5\n", "floats"},
		{"NoFloats", "internal/scheduler/a.go", "package x\nvar f = 5 // 0.5\n", ""},
		{"NoFloats", "internal/rpc/a.go", "package x\nvar f float64\n", ""},

		{"Bbolt", "internal/rpc/a.go", importBolt, "only internal/store"},
		{"Bbolt", "cmd/coordinator/main.go", importBolt, "only internal/store"},
		{"Bbolt", "internal/store/a.go", importBolt, ""},
		{"Bbolt", "internal/consensus/a.go", importBolt, ""},
		{"Bbolt", "internal/engine/a_test.go", importBolt, ""},

		{"Grpc", "internal/engine/a.go", importGrpc, "google.golang.org/grpc/codes"},
		{"Grpc", "internal/workercore/a.go", importGrpc, "google.golang.org/grpc/codes"},
		{"Grpc", "internal/rpc/a.go", importGrpc, ""},
		{"Grpc", "client/a.go", importGrpc, ""},
		{"Grpc", "internal/wire/a.go", importGrpc, ""},
		{"Grpc", "tests/kill/a.go", importGrpc, ""},

		{"EngineWiring", "internal/engine/a.go", own("internal/store"), "internal/store"},
		{"EngineWiring", "internal/engine/a.go", own("internal/consensus"), "internal/consensus"},
		{"EngineWiring", "internal/engine/a.go", own("internal/scheduler"), ""},
		{"EngineWiring", "cmd/coordinator/a.go", own("internal/store"), ""},

		{"WireBelow", "internal/wire/a.go", own("internal/scheduler"), "internal/wire imports"},
		{"WireBelow", "internal/wire/a.go", own("gen/storage/v1"), "gen/storage/v1"},
		{"WireBelow", "internal/wire/a.go", own("gen/yardmaster/v1"), ""},
		{"WireBelow", "internal/rpc/a.go", own("internal/scheduler"), ""},

		{"Clock", "internal/engine/loop.go", readClock, "time.Now"},
		{"Clock", "internal/rpc/a.go", "package x\nimport tm \"time\"\nvar d = tm.Since(tm.Time{})\n", "time.Since"},
		{"Clock", "internal/rpc/a.go", "package x\nimport \"time\"\nvar d = time.Until(time.Time{})\n", "time.Until"},
		{"Clock", "internal/rpc/a.go", "package x\nimport . \"time\"\nvar now = Now\n", "dot import"},
		{"Clock", "internal/rpc/a.go", "package x\nimport \"time\"\nvar _ time.Time\nfunc f(time struct{ Now int }) int { return time.Now }\n", ""},
		{"Clock", "internal/rpc/a.go", "package x\nimport \"time\"\nvar t = time.NewTimer\n", ""},
		{"Clock", "internal/engine/clock.go", readClock, ""},
		{"Clock", "internal/engine/a_test.go", readClock, ""},
		{"Clock", "worker/a.go", readClock, ""},

		{"Clock", "internal/sim/a.go", readClock, "time.Now"},
		{"Clock", "internal/sim/yardsim/a.go", readClock, ""},
		{"Randomness", "internal/sim/a.go", importRand, ""},
		{"Randomness", "internal/sim/a.go", "package x\nimport _ \"crypto/rand\"\n", `"crypto/rand"`},
		{"Randomness", "internal/engine/loop.go", importRand, "math/rand/v2"},
		{"Randomness", "internal/store/a.go", "package x\nimport _ \"crypto/rand\"\n", "crypto/rand"},
		{"Randomness", "internal/engine/clock.go", importRand, ""},
		{"Randomness", "client/a.go", importRand, ""},

		{"FileSize", "internal/rpc/a.go", long("", 801), "801 lines, the most is 800"},
		{"FileSize", "internal/rpc/a_test.go", long("// size: one table of every case\n", 801), "the most is 800"},
		{"FileSize", "internal/rpc/a.go", long("", 401), "need a reason"},
		{"FileSize", "internal/rpc/a.go", long("// size: long\n", 401), "need a reason"},
		{"FileSize", "internal/rpc/a.go", long("", 401) + "// size: one table of every case\n", "need a reason"},
		{"FileSize", "internal/rpc/a.go", long("// size: one table of every case\n\n", 800), ""},
		{"FileSize", "internal/rpc/a.go", long("", 400), ""},
		{"FileSize", "gen/storage/v1/a.pb.go", long("", 5000), ""},
		{"FileSize", "internal/rpc/a.go", long("// Code generated by x. DO NOT EDIT.\n\n", 5000), ""},

		{"NoSleepInTests", "internal/rpc/a_test.go", sleep, "time.Sleep in a test"},
		{"NoSleepInTests", "tests/kill/a_test.go", sleep, "time.Sleep in a test"},
		{"NoSleepInTests", "worker/a.go", sleep, ""},
		{"NoSleepInTests", "worker/a_test.go", "package x\nimport (\n\"testing\"\n\"testing/synctest\"\n\"time\"\n)\n" +
			"func TestX(t *testing.T) { synctest.Test(t, func(*testing.T) { time.Sleep(1) }) }\n", ""},
		{"NoSleepInTests", "worker/a_test.go", "package x\nimport (\n\"testing\"\n\"testing/synctest\"\n\"time\"\n)\n" +
			"func TestX(t *testing.T) { synctest.Test(t, func(*testing.T) {}); time.Sleep(1) }\n", "time.Sleep in a test"},
	}

	rules := make(map[string]Rule)
	for _, rule := range Rules() {
		rules[rule.Name] = rule
	}
	failed := make(map[string]bool) // rules seen to fail
	for _, c := range cases {
		rule, ok := rules[c.rule]
		if !ok {
			t.Fatalf("no rule %s", c.rule)
		}
		file, err := Parse(c.path, []byte(c.src))
		if err != nil {
			t.Fatalf("%s: %v", c.path, err)
		}
		got := rule.Check(file)
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s must let %s pass:\n%s\ngot %v", c.rule, c.path, c.src, got)
		case c.want != "" && len(got) != 1:
			t.Errorf("%s must find one violation in %s:\n%s\ngot %v", c.rule, c.path, c.src, got)
		case c.want != "":
			failed[c.rule] = true
			if !strings.Contains(got[0].What, c.want) {
				t.Errorf("%s on %s: got %q, want it to speak of %q", c.rule, c.path, got[0].What, c.want)
			}
			if got[0].Cure == "" || got[0].Line == 0 || got[0].Path != c.path {
				t.Errorf("%s on %s: no cure or place: %+v", c.rule, c.path, got[0])
			}
		}
	}
	for name := range rules {
		if !failed[name] {
			t.Errorf("rule %s was not seen to fail. Cure: add a bad source to the table.", name)
		}
	}
}

// TestLoad shows which files of a tree are held to the rules.
func TestLoad(t *testing.T) {
	src := &fstest.MapFile{Data: []byte("package x\n")}
	tree := fstest.MapFS{
		"a.go": src, "internal/b/b.go": src, "bench/c_test.go": src,
		"README.md": src, "internal/b/testdata/d.go": src, ".git/e.go": src, "_old/f.go": src,
	}
	files, err := Load(tree)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, f.Path)
	}
	if want := "a.go bench/c_test.go internal/b/b.go"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}

	tree["broken.go"] = &fstest.MapFile{Data: []byte("package\n")}
	if _, err := Load(tree); err == nil || !strings.Contains(err.Error(), "broken.go") {
		t.Errorf("a file that does not parse: got error %v, want one that names it", err)
	}
}
