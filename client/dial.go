package client

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // lets the client watch servers' health
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/yardmaster/yardmaster/internal/wire"
)

// Settings of connections.
const (
	KeepaliveTime    = 10 * time.Second // a silent connection is asked for a sign of life
	KeepaliveTimeout = 5 * time.Second  // and given up without one
	ReconnectMin     = 100 * time.Millisecond
	ReconnectMax     = 3 * time.Second
	ConnectTimeout   = 5 * time.Second // for one address

	sendBytesMax    = 4 << 20  // a coordinator accepts no more
	receiveBytesMax = 32 << 20 // a page of 1,000 tasks, each with all the labels it may have
)

// One address needs no choice: its connection is used even if its health service says NOT_SERVING, so that a draining
// coordinator still answers questions. Of several, each call goes to one that is SERVING; where none is, questions (asks)
// go over a second connection, whichever coordinator answers.
const (
	serviceConfigOne     = `{"loadBalancingConfig":[{"pick_first":{}}]}`
	serviceConfigSeveral = `{"loadBalancingConfig":[{"round_robin":{}}],"healthCheckConfig":{"serviceName":""}}`
	serviceConfigAny     = `{"loadBalancingConfig":[{"round_robin":{}}]}`
)

// dial makes the connections, unconnected: the second does nothing until it is needed. The addresses are handed to gRPC by a
// resolver of our own: its DNS resolver would look up every name again and again, and knows nothing of lists.
func (c *Client) dial(cfg Config) error {
	addresses := cfg.Addresses
	if len(addresses) == 0 {
		addresses = []string{DefaultAddress}
	}
	endpoints := make([]resolver.Endpoint, 0, len(addresses))
	for _, address := range addresses {
		if err := checkAddress(address); err != nil {
			return err
		}
		endpoints = append(endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: address, ServerName: address}}})
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: KeepaliveTime, Timeout: KeepaliveTimeout, PermitWithoutStream: true,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           grpcbackoff.Config{BaseDelay: ReconnectMin, Multiplier: 2, Jitter: 0.5, MaxDelay: ReconnectMax},
			MinConnectTimeout: ConnectTimeout,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(sendBytesMax), grpc.MaxCallRecvMsgSize(receiveBytesMax),
			grpc.ForceCodecV2(wire.New())),
		grpc.WithDisableRetry(), // what is repeated is decided here, not by a service config
		grpc.WithUserAgent("yardmaster-go"),
	}
	connect := func(serviceConfig string, more ...grpc.DialOption) (*grpc.ClientConn, error) {
		static := manual.NewBuilderWithScheme("yardmaster")
		static.InitialState(resolver.State{Endpoints: endpoints})
		all := append(slices.Concat(options, more), grpc.WithResolvers(static), grpc.WithDefaultServiceConfig(serviceConfig))
		conn, err := grpc.NewClient("yardmaster:///"+addresses[0], append(all, cfg.DialOptions...)...)
		if err != nil {
			return nil, fmt.Errorf("set up the connection: %w", err)
		}
		return conn, nil
	}
	repeat := grpc.WithChainUnaryInterceptor(c.repeat)
	var err error
	if len(addresses) == 1 {
		c.conn, err = connect(serviceConfigOne, repeat)
		return err
	}
	if c.conn, err = connect(serviceConfigSeveral, repeat); err != nil {
		return err
	}
	c.anyConn, err = connect(serviceConfigAny) // repeated by the calls of the first
	return err
}

// checkAddress accepts host:port.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	number, bad := strconv.ParseUint(port, 10, 16)
	if split := (*net.AddrError)(nil); errors.As(err, &split) {
		err = errors.New(split.Err) // without the address, which is named below
	}
	switch {
	case strings.Contains(address, "://"):
		err = errors.New("it names a scheme")
	case err == nil && host == "":
		err = errors.New("it names no host")
	case err == nil && port == "":
		err = errors.New("it names no port")
	case err == nil && (bad != nil || number == 0):
		err = fmt.Errorf("%q is no port from 1 to 65535", port)
	}
	if err != nil {
		return fmt.Errorf("address %q must be host:port, as 10.0.0.1:7420: %w", address, err)
	}
	return nil
}
