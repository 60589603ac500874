package settings

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func flags() *pflag.FlagSet {
	fs := pflag.NewFlagSet("server", pflag.ContinueOnError)
	fs.SetOutput(new(bytes.Buffer))
	AddConfig(fs)
	fs.String("listen", "default", "")
	fs.Int("slots", 4, "")
	fs.StringSlice("queue", nil, "")
	return fs
}

func source(env map[string]string, file string) Source {
	return Source{
		LookupEnv: func(k string) (string, bool) { v, ok := env[k]; return v, ok },
		ReadFile: func(string) ([]byte, error) {
			if file == "" {
				return nil, errors.New("no such file")
			}
			return []byte(file), nil
		},
	}
}

// TestPrecedence: flag > environment > file > default.
func TestPrecedence(t *testing.T) {
	env := map[string]string{"YARD_LISTEN": "env", "YARD_SLOTS": "7"}
	for _, c := range []struct {
		name   string
		args   []string
		env    map[string]string
		file   string
		listen string
		slots  int
		queues string
	}{
		{"defaults", nil, nil, "", "default", 4, ""},
		{"file", []string{"--config=f"}, nil, "listen: file\nslots: 9\nqueue: [a, b]\n", "file", 9, "a,b"},
		{"environment beats file", []string{"--config=f"}, env, "listen: file\nslots: 9\n", "env", 7, ""},
		{"flag beats all", []string{"--config=f", "--listen=flag"}, env, "listen: file\n", "flag", 7, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := flags()
			if err := Apply(fs, c.args, source(c.env, c.file)); err != nil {
				t.Fatal(err)
			}
			listen, _ := fs.GetString("listen")
			slots, _ := fs.GetInt("slots")
			queues, _ := fs.GetStringSlice("queue")
			if listen != c.listen || slots != c.slots || strings.Join(queues, ",") != c.queues {
				t.Errorf("got %s, %d, %v", listen, slots, queues)
			}
		})
	}
}

// TestErrorsNameTheCulprit: what the user got wrong is in the message.
func TestErrorsNameTheCulprit(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  map[string]string
		file string
		want string
	}{
		{[]string{"--slots=x"}, nil, "", "slots"},
		{[]string{"stray"}, nil, "", `"stray"`},
		{nil, map[string]string{"YARD_SLOTS": "x"}, "", "YARD_SLOTS"},
		{[]string{"--config=f"}, nil, "", "no such file"},
		{[]string{"--config=f"}, nil, "slotz: 3\n", `line 1: unknown setting "slotz"`},
		{[]string{"--config=f"}, nil, "slots: [1]\n", "a list where one value is wanted"},
		{[]string{"--config=f"}, nil, "slots: {a: 1}\n", "slots"},
		{[]string{"--config=f"}, nil, "a: b: c\n", "f"},
		{[]string{"--config=f"}, nil, "- slots\n", "--config f: line 1: want settings, as NAME: VALUE, got a list"},
		{[]string{"--config=f"}, nil, "slots: 1\n---\nslots: x\n", "one document"},
	} {
		err := Apply(flags(), c.args, source(c.env, c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %v %q: got %v, want it to name %s", c.args, c.env, c.file, err, c.want)
		}
	}
}

// TestPrintedSettingsReadBack: what --print-config prints is a file with the same meaning.
func TestPrintedSettingsReadBack(t *testing.T) {
	fs := flags()
	if err := Apply(fs, []string{"--listen=a", "--queue=x", "--queue=y"}, source(nil, "")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Print(fs, &out); err != nil {
		t.Fatal(err)
	}
	again := flags()
	if err := Apply(again, []string{"--config=f"}, source(nil, out.String())); err != nil {
		t.Fatal(err)
	}
	if q, _ := again.GetStringSlice("queue"); len(q) != 2 || again.Lookup("listen").Value.String() != "a" {
		t.Errorf("read back %v from\n%s", q, out.String())
	}
}
