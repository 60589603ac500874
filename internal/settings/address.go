package settings

import (
	"fmt"
	"net"
)

// CheckAddress refuses an address to listen on that can't be one, or that lies beyond loopback unless that was asked for:
// there is no TLS yet.
func CheckAddress(flag, addr string, insecure bool) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("--%s is %q: want HOST:PORT: %w", flag, addr, plainAddress(err))
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("--%s is %q: %q is no port: choose 1 to 65535, or 0 for any free one", flag, addr, port)
	}
	if insecure || host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("--%s is %q, beyond loopback, and there is no TLS: whoever reaches it may do everything; "+
			"listen on 127.0.0.1, or say --insecure-listen if the network itself is trusted", flag, addr)
	}
	return nil
}
