package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// tree makes files of a few bytes.
func tree(t *testing.T, paths ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, path := range paths {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestListFiles(t *testing.T) {
	root := tree(t, "b", "a/z", "a/new\nline")
	if err := os.Symlink("b", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	in, err := listFiles(root)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a/new\nline", "a/z", "b"}; !reflect.DeepEqual(in.paths, want) || in.bytes != 14 || in.unreadable != 0 {
		t.Errorf("got %+v", in)
	}
	want := digests{ // printf %s CONTENTS | sha256sum
		"fc71242ad1c9975468f08e374f611289a037a7f80c822dfc578987fc527f379b",
		"abbbf612ce0d42b7cd07515024905392f918ba87d83b9a4e813b0b7f65987fa3",
		"3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d",
	}
	if got := digestAll(in, nil); !reflect.DeepEqual(got, want) {
		t.Errorf("digests %v", got)
	}
	stopped := make(chan struct{})
	close(stopped)
	if got := digestAll(in, stopped); !reflect.DeepEqual(got, digests{"", "", ""}) {
		t.Errorf("when stopped: %v", got)
	}
	for _, bad := range []string{filepath.Join(root, "none"), t.TempDir()} {
		if _, err := listFiles(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: error %v, want one that names it", bad, err)
		}
	}
}

func TestHandlersFiles(t *testing.T) {
	data, err := hashHandlers("/bin dir", "/root: {a}", "/tmp/runs")
	if err != nil {
		t.Fatal(err)
	}
	var f handlersFile
	if err := yaml.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	want := handlersFile{[]handler{{"sha256", execHandler{
		Argv: []string{"/bin dir/demo-hash", "--root", "."}, Dir: "/root: {a}", Env: map[string]string{"DEMO_RUNS": "/tmp/runs"},
	}}}}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("got %+v", f)
	}
	if data, err = playHandlers("/bin"); err != nil || !strings.Contains(string(data), "kind: flaky") {
		t.Errorf("got %s, %v", data, err)
	}
}

func TestFlags(t *testing.T) {
	o, err := parse([]string{"--workers", "3", "--kill=false"}, os.Stderr)
	if err != nil || o.workers != 3 || o.kill || o.play {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, c := range []struct{ args, want string }{
		{"--workers=0", "--workers is 0: choose 1 to 16"},
		{"--slots=1000", "--slots is 1000"},
		{"--play --dir=x", "--dir has no meaning with --play"},
		{"--data-dir=x", "--data-dir has no meaning without --play"},
		{"extra", `unexpected argument "extra"`},
	} {
		if _, err := parse(strings.Fields(c.args), os.Stderr); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.args, err, c.want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"PATH=/bin", "YARD_LISTEN=:1", "YARDAGE=3"})
	if want := []string{"PATH=/bin", "YARDAGE=3"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}
