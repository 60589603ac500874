package main

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/yardmaster/yardmaster/internal/settings"
)

// FuzzFlags: any arguments, environment and file are settings within their bounds, or are refused.
func FuzzFlags(f *testing.F) {
	f.Add("--session-ttl=3s\x00--max-tasks=5", "listen", "127.0.0.1:0", "disk-reserve: 1")
	f.Add("--listen=0.0.0.0:1\x00--insecure-listen", "stop-timeout", "1h", "log-format: json")
	f.Add("--data-dir=", "max-tasks", "-1", "log-segment-bytes: 99999999999999999999")
	f.Add("", "session-ttl", "9999999h", "listen: [a, b]\nadmin-listen: ''")
	f.Fuzz(func(t *testing.T, args, variable, value, file string) {
		if len(args)+len(value)+len(file) > 4<<10 {
			return
		}
		c := &config{}
		list := append([]string{"--config=the-file"}, slices.DeleteFunc(strings.Split(args, "\x00"), func(a string) bool { return a == "" })...)
		set := flagSet(c)
		set.Usage = func() {}
		err := settings.Apply(set, list, settings.Source{
			LookupEnv: func(n string) (string, bool) {
				return value, n == "YARD_"+strings.ToUpper(strings.ReplaceAll(variable, "-", "_"))
			},
			ReadFile: func(path string) ([]byte, error) {
				if path == "the-file" {
					return []byte(file), nil
				}
				return nil, fs.ErrNotExist
			},
		})
		if err != nil || c.check() != nil {
			return
		}
		if c.sessionTTL < sessionTTLMin || c.sessionTTL > sessionTTLMax || c.maxTasks == 0 || c.dataDir == "" || c.segmentBytes < 64<<10 || c.stopTimeout <= 0 ||
			settings.CheckAddress("listen", c.listen, c.insecureListen) != nil {
			t.Fatalf("%+v was taken", c)
		}
	})
}
