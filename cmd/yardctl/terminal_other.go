//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package main

import (
	"errors"
	"os"
)

var errNoTerminal = errors.New("this system's terminals are not known to yardctl; use --once")

// isTerminal: on systems whose terminals aren't known, streams count as files: no questions, no live screens.
func isTerminal(any) bool { return false }

func terminalSize(*os.File) (width, height int, err error) { return 0, 0, errNoTerminal }

func rawTerminal(*os.File) (restore func() error, err error) { return nil, errNoTerminal }

func notifyResize() (resized <-chan os.Signal, stop func()) { return nil, func() {} }
