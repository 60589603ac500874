package settings

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/pflag"
)

// Log says what a server logs and in which form.
type Log struct {
	Format string // text or json
	Level  string // trace, debug, info, warn or error
}

// AddFlags adds --log-format and --log-level.
func (l *Log) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&l.Format, "log-format", "text", "text or json")
	fs.StringVar(&l.Level, "log-level", "info", "trace, debug, info, warn or error")
}

// JSON reports whether one object a line is logged.
func (l *Log) JSON() bool { return l.Format == "json" }

// Check reports every setting that can't be used.
func (l *Log) Check() error {
	var errs []error
	if l.Format != "text" && !l.JSON() {
		errs = append(errs, fmt.Errorf("--log-format is %q: choose text or json", l.Format))
	}
	if hclog.LevelFromString(l.Level) == hclog.NoLevel {
		errs = append(errs, fmt.Errorf("--log-level is %q: choose trace, debug, info, warn or error", l.Level))
	}
	return errors.Join(errs...)
}

// Logger returns a server's logger, which writes to w.
func (l *Log) Logger(name string, w io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: name, Level: hclog.LevelFromString(l.Level), JSONFormat: l.JSON(), Output: w})
}
