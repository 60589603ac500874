package settings

import (
	"strings"
	"testing"
)

func TestCheckTarget(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.1:7420": "", "localhost:7420": "", "[::1]:7420": "",
		"": "missing port", "host": "missing port", "host:": `"" is no port`, "host:http": `"http" is no port`, "host:0": "is no port",
		"host:99999": `"99999" is no port`, ":7420": "names no host", "http://host:7420": "names a scheme", "::1": "too many colons",
	} {
		err := CheckTarget("--coordinator", address)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "--coordinator is ")) {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
	}
}

func TestCheckAddress(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:0": "", "127.0.0.1:http": "", "localhost:1": "", "[::1]:7420": "",
		"no port":         `--listen is "no port": want HOST:PORT: missing port in address`,
		"0.0.0.0:1":       "beyond loopback",
		"example.test:1":  "beyond loopback",
		"127.0.0.1:99999": `--listen is "127.0.0.1:99999": "99999" is no port: choose 1 to 65535, or 0 for any free one`,
		"127.0.0.1:x-y":   `"x-y" is no port`,
	} {
		if err := CheckAddress("listen", address, false); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
	}
}

func TestListen(t *testing.T) {
	lis, err := Listen("listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	for address, want := range map[string]string{
		lis.Addr().String(): "is another one running?",
		"192.0.2.1:0":       "choose one that it has",
		"127.0.0.1:99999":   "invalid port: choose another address",
	} {
		again, err := Listen("listen", address)
		if err == nil {
			_ = again.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "--listen: ") {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}
