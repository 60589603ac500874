//go:build !linux

package execrun

import "context"

// MaybeHelper does nothing on this system.
func MaybeHelper() {}

// Runner can't run anything on this system: it needs Linux's subreapers.
type Runner struct{}

// New returns a Runner whose Run fails.
func New(Options) *Runner { return &Runner{} }

// Run returns ErrUnsupported, or what is wrong with spec.
func (*Runner) Run(ctx context.Context, spec Spec) (Result, error) {
	spec, err := spec.filled()
	if err != nil {
		return Result{ExitCode: -1}, err
	}
	_ = spec.grace(ctx)
	return Result{ExitCode: -1}, ErrUnsupported
}

// Close does nothing.
func (*Runner) Close(context.Context) error { return nil }
