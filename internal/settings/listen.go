package settings

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// CheckTarget refuses an address to connect to that isn't HOST:PORT. The error begins with what names it, as --coordinator.
func CheckTarget(what, address string) error {
	host, port, err := net.SplitHostPort(address)
	switch {
	case strings.Contains(address, "://"):
		err = errors.New("it names a scheme")
	case err == nil && host == "":
		err = errors.New("it names no host")
	}
	if n, e := strconv.ParseUint(port, 10, 16); err == nil && (e != nil || n == 0) {
		err = fmt.Errorf("%q is no port from 1 to 65535", port)
	}
	if err != nil {
		return fmt.Errorf("%s is %q: want it as 10.0.0.1:7420: %w", what, address, plainAddress(err))
	}
	return nil
}

// plainAddress drops the address that net repeats.
func plainAddress(err error) error {
	if e := (*net.AddrError)(nil); errors.As(err, &e) {
		return errors.New(e.Err)
	}
	return err
}

// Listen opens a listener for a flag's address. The error names the flag, the address and the cure.
func Listen(flag, address string) (net.Listener, error) {
	lis, err := net.Listen("tcp", address)
	if err == nil {
		return lis, nil
	}
	cure := "choose another address"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		cure = "is another one running? stop it, or choose another address, or port 0 for any free one"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		cure = "this machine doesn't have the address: choose one that it has"
	case errors.Is(err, syscall.EACCES):
		cure = "this user may not: choose a port from 1024"
	}
	return nil, fmt.Errorf("--%s: %w: %s", flag, err, cure)
}
