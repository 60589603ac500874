package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
)

// Bounds of top.
const (
	topIntervalMin     = 200 * time.Millisecond
	topIntervalMax     = time.Minute
	topIntervalDefault = time.Second
	topPollTimeout     = 5 * time.Second // unless --timeout is given
	topTextWidth       = 140             // of a frame that is no terminal's
)

const topLong = `Top shows the cluster live: what it holds and how fast it goes, its queues, its workers, how far the checkpoint is behind
the log, and the disk. Rates are those between two looks; in the first frame, and after a restart of the coordinator, they
are averages since the coordinator's start, and marked so.

Keys: q or Ctrl-C quits; s changes the order of the queues; Tab chooses between queues and workers; arrows, PgUp, PgDn, Home
and End scroll.

It shows all queues, and the first 200 workers by name. Without a terminal, or with --once, it prints one frame as text;
with -o json or yaml an object for each interval: status, queues, workers and rates. NO_COLOR in the environment turns
colours off.`

func newTop(a *app) *cobra.Command {
	interval, single := topIntervalDefault, false
	cmd := &cobra.Command{
		Use:     "top",
		Short:   "Show the cluster live: rates, queues, workers",
		GroupID: "noun",
		Long:    topLong,
		Example: `  yardctl top
  yardctl top --interval 5s
  yardctl top --once
  yardctl top -o json | jq .rates.ends`,
		Args:              argsUpTo(0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < topIntervalMin || interval > topIntervalMax {
				return usagef("--interval is %v; it must be from %v to %v", interval, topIntervalMin, topIntervalMax)
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			t := &top{a: a, c: c, interval: interval}
			err = t.run(cmd.Context(), single)
			if cmd.Context().Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
				return nil // Ctrl-C is how it is left
			}
			return err
		},
	}
	cmd.Flags().DurationVar(&interval, "interval", topIntervalDefault, "look so often: from 200ms to 1m")
	cmd.Flags().BoolVar(&single, "once", false, "print one frame and end")
	return cmd
}

// top is one run of top.
type top struct {
	a        *app
	c        *client.Client
	interval time.Duration
}

func (t *top) run(ctx context.Context, single bool) error {
	if t.a.forScripts() {
		return t.objects(ctx, single)
	}
	in, inOK := t.a.stdin.(*os.File)
	out, outOK := t.a.stdout.(*os.File)
	live := !single && inOK && outOK && t.a.isTerminal(in) && t.a.isTerminal(out)
	shot, err := t.poll(ctx) // before the screen is taken: what is wrong is told in the usual way
	if err != nil {
		return err
	}
	view := t.view(shot)
	if live {
		return t.live(ctx, in, out, view)
	}
	width := topTextWidth
	if outOK && t.a.isTerminal(out) {
		view.colour = wantsColour()
		if w, _, err := terminalSize(out); err == nil && w >= topWidthMin {
			width = w
		}
	}
	_, err = fmt.Fprint(t.a.stdout, view.frame(width, 0))
	return err
}

// view is what the first frame shows.
func (t *top) view(shot *topShot) *topView {
	return &topView{address: strings.Join(t.a.target, ","), interval: t.interval, shot: shot, rates: ratesOf(nil, shot), order: orderPending}
}

// wantsColour follows no-color.org.
func wantsColour() bool { return os.Getenv("NO_COLOR") == "" }

// live takes the terminal and gives it back however the screen ends.
func (t *top) live(ctx context.Context, in, out *os.File, view *topView) (err error) {
	restore, err := rawTerminal(in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	resized, stop := notifyResize()
	defer stop()
	view.colour = wantsColour()
	s := &topScreen{top: t, view: view, in: in, out: out, resized: resized,
		size: func() (int, int, error) { return terminalSize(out) }}
	return s.run(ctx)
}
