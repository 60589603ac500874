package settings

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func logFlags(t *testing.T, args ...string) *Log {
	t.Helper()
	l := &Log{}
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	l.AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLogCheck(t *testing.T) {
	for _, args := range [][]string{nil, {"--log-format=json"}, {"--log-level=trace"}, {"--log-level=WARN"}} {
		if err := logFlags(t, args...).Check(); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
	err := logFlags(t, "--log-format=xml", "--log-level=loud").Check()
	for _, want := range []string{`--log-format is "xml": choose text or json`, `--log-level is "loud": choose trace, debug, info, warn or error`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
}

func TestLogger(t *testing.T) {
	var b strings.Builder
	logger := logFlags(t).Logger("server", &b)
	logger.Debug("unheard")
	logger.Info("heard", "k", "v")
	if got := b.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "server: heard: k=v") {
		t.Errorf("%q", got)
	}
	b.Reset()
	logFlags(t, "--log-format=json", "--log-level=debug").Logger("server", &b).Debug("heard", "k", "v")
	var line map[string]string
	if err := json.Unmarshal([]byte(b.String()), &line); err != nil || line["@message"] != "heard" || line["@module"] != "server" || line["k"] != "v" {
		t.Errorf("%q: %v", b.String(), err)
	}
}
