package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/yardmaster/yardmaster/internal/settings"
	"github.com/yardmaster/yardmaster/internal/shutdown"
	"github.com/yardmaster/yardmaster/worker"
)

// parsed is what arguments and environment say.
func parsed(t *testing.T, env map[string]string, args ...string) (*config, error) {
	t.Helper()
	c := &config{}
	fs := flagSet(c)
	fs.SetOutput(&bytes.Buffer{})
	err := settings.Apply(fs, args, settings.Source{
		LookupEnv: func(k string) (string, bool) { v, ok := env[k]; return v, ok }, ReadFile: os.ReadFile,
	})
	if err == nil {
		err = c.check()
	}
	return c, err
}

func TestFlags(t *testing.T) {
	c, err := parsed(t, map[string]string{"YARD_SLOTS": "3", "YARD_NAME": "env"},
		"--coordinator", "a:1,b:2", "--coordinator", "c:3", "--name", "flag", "--queue", "x,y", "--label", "k=v=w", "--label", "e=",
		"--handlers", "h", "--drain-timeout", "0", "--kill-grace", "2s", "--cpu-slots", "5")
	if err != nil {
		t.Fatal(err)
	}
	w := c.worker(&handlersFile{Pools: map[string]poolSpec{"gpu": {Slots: 2, Prefetch: 1}}}, hclog.NewNullLogger())
	if strings.Join(w.Coordinators, " ") != "a:1 b:2 c:3" || w.Name != "flag" || w.Slots != 3 || strings.Join(w.Queues, " ") != "x y" {
		t.Errorf("%+v", w)
	}
	if w.Labels["k"] != "v=w" || w.Labels["e"] != "" || len(w.Labels) != 2 {
		t.Errorf("labels %v", w.Labels)
	}
	if w.DrainTimeout >= 0 || w.KillGrace != 2*time.Second { // 0 is none, which the SDK writes as a negative span
		t.Errorf("spans %s, %s", w.DrainTimeout, w.KillGrace)
	}
	if len(w.Pools) != 1 || w.Pools[0] != (worker.Pool{Name: "gpu", Slots: 2, Prefetch: 1}) || w.CPUSlots != 5 || w.Prefetch != -1 {
		t.Errorf("pools %v", w.Pools)
	}
}

func TestFlagErrors(t *testing.T) {
	for _, c := range []struct {
		args, says string
	}{
		{"", "--handlers is missing"},
		{"--handlers h --label x", `--label "x": want K=V`},
		{"--handlers h --label =x", `--label "=x": want K=V`},
		{"--handlers h --slots -1", "--slots is -1"},
		{"--handlers h --cpu-slots -1", "--cpu-slots is -1"},
		{"--handlers h --cpu-slots 10001", "--cpu-slots is 10001: choose 1 to 10000"},
		{"--handlers h --prefetch -1", "--prefetch is -1: choose 0 to 10000"},
		{"--handlers h --slots many", "slots"},
		{"--handlers h --drain-timeout -1s", "can't be negative"},
		{"--handlers h --kill-grace -1s", "can't be negative"},
		{"--handlers h --log-format xml", "--log-format"},
		{"--handlers h --log-level loud", "--log-level"},
		{"--handlers h extra", `"extra"`},
		{"--handlers h --shell sh", "--shell"},
		{"--handlers h --config /no/such", "--config"},
	} {
		if _, err := parsed(t, nil, strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.args, err)
		}
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	handlers := filepath.Join(dir, "handlers.yaml")
	if err := os.WriteFile(handlers, []byte("handlers:\n- kind: a\n  exec: {argv: [/bin/true]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cpu := filepath.Join(dir, "cpu.yaml")
	if err := os.WriteFile(cpu, []byte("pools: {io: 5904}\nhandlers:\n- kind: a\n  cpu: true\n  exec: {argv: [/bin/true]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"--version", 0, "worker "},
		{"--help", 0, "Usage: worker"},
		{"--print-config --slots 7 --handlers " + handlers, 0, "slots: "},
		{"--print-config --slots -1 --handlers " + handlers, settings.ExitUsage, "--slots is -1"},
		{"--print-config --name Bad --handlers " + handlers, settings.ExitUsage, `name "Bad"`},
		{"--print-config", settings.ExitUsage, "--handlers is missing"},
		{"--check-config --handlers " + handlers, 0, "settings are good"},
		{"--check-config --handlers " + cpu, 0, "settings are good"},
		{"--check-config --slots 10000 --handlers " + cpu, settings.ExitUsage, "slots and prefetch of all pools"},
		{"--check-config --slots 9000 --cpu-slots 1001 --handlers " + cpu, settings.ExitUsage, "slots and prefetch of all pools: 15905"},
		{"--check-config", settings.ExitUsage, "--handlers is missing"},
		{"--handlers " + dir + "/none", settings.ExitUsage, "--handlers: open"},
		{"--handlers " + handlers + " --name Bad", settings.ExitUsage, `name "Bad"`},
		{"--handlers " + handlers + " --slots 100000", settings.ExitUsage, "slots"},
		{"--handlers " + handlers + " --queue Bad", settings.ExitUsage, `queue "Bad"`},
	} {
		var out bytes.Buffer
		if code := run(strings.Fields(c.args), &out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit code %d, want %d; no %q in %s", c.args, code, c.code, c.says, out.String())
		}
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		name string
		r    shutdown.Result
		want int
	}{
		{"clean", shutdown.Result{}, 0},
		{"cut by a second signal", shutdown.Result{Cut: shutdown.ErrAborted}, 6},
		{"handlers left", shutdown.Result{Errors: []error{worker.ErrStragglers}}, 6},
		{"refused", shutdown.Result{Cause: worker.ErrRefused}, 1},
		{"leases unanswered", shutdown.Result{Errors: []error{worker.ErrUnanswered}}, 1},
	} {
		if got := exitCode(c.r); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
