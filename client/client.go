package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// DefaultAddress is where a coordinator listens by default.
const DefaultAddress = "127.0.0.1:7420"

// GiveUpMax is the longest that a call is repeated, and the default. Coordinators remember a producer for at least 10
// minutes after its last use; a submit repeated for longer than that could be stored twice.
const GiveUpMax = 5 * time.Minute

// Config says which cluster to talk to, and how.
type Config struct {
	// Addresses are the coordinators of one cluster, each as host:port. Empty: DefaultAddress. Of several, calls go to
	// those whose health service says SERVING, that is, to the leader. While none is, unary calls that only ask (Get, List,
	// Timeline, Explain, Status and the like) go to any that answers, as a coordinator that is stopping does.
	Addresses []string
	// Logger gets repeated calls and broken streams, at debug level. Nil: nothing is logged.
	Logger hclog.Logger
	// GiveUp is how long a failing call is repeated when the caller's context doesn't end it first: at most, and by
	// default, GiveUpMax. A stream that awaits outcomes gives up after so long without one.
	GiveUp time.Duration
	// ReachTimeout is the same for as long as no coordinator has been reached at all, so that a wrong address is told
	// soon. Default: GiveUp.
	ReachTimeout time.Duration
	// DialOptions are added to the client's own and win over them.
	DialOptions []grpc.DialOption
}

// Client talks to one cluster. Its methods may be called from any number of goroutines.
type Client struct {
	conn         *grpc.ClientConn
	anyConn      *grpc.ClientConn // to any coordinator, SERVING or not: for questions when none is. Nil with a single address
	logger       hclog.Logger
	giveUp       time.Duration
	reachTimeout time.Duration
	life         context.Context // ends with Close
	end          context.CancelFunc
	reached      atomic.Bool // some attempt was given a connection
	budget       retryBudget
	producers    *producers

	tasks    yardmasterv1.TaskServiceClient
	queues   yardmasterv1.QueueServiceClient
	operator yardmasterv1.OperatorServiceClient
}

// New returns a client. It doesn't connect: the first call does, and says what is wrong if that fails.
func New(cfg Config) (*Client, error) {
	switch {
	case cfg.GiveUp < 0 || cfg.GiveUp > GiveUpMax:
		return nil, fmt.Errorf("client: GiveUp is %v; it must be between 0 and %v", cfg.GiveUp, GiveUpMax)
	case cfg.ReachTimeout < 0:
		return nil, errors.New("client: ReachTimeout is negative")
	}
	c := &Client{logger: cfg.Logger, giveUp: cfg.GiveUp, reachTimeout: cfg.ReachTimeout, producers: newProducers()}
	if c.logger == nil {
		c.logger = hclog.NewNullLogger()
	}
	if c.giveUp == 0 {
		c.giveUp = GiveUpMax
	}
	if c.reachTimeout == 0 {
		c.reachTimeout = c.giveUp
	}
	if err := c.dial(cfg); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	conn := c.conn
	c.life, c.end = context.WithCancel(context.Background())
	c.tasks = yardmasterv1.NewTaskServiceClient(conn)
	c.queues = yardmasterv1.NewQueueServiceClient(conn)
	c.operator = yardmasterv1.NewOperatorServiceClient(conn)
	return c, nil
}

// Close ends the connections. Calls under way fail with ErrClosed; submits among them whose answer is out tell
// ErrOutcomeUnknown. It may be called twice.
func (c *Client) Close() error {
	c.end()
	var first error
	for _, conn := range []*grpc.ClientConn{c.conn, c.anyConn} {
		if conn == nil {
			continue
		}
		if err := conn.Close(); first == nil && status.Code(err) != codes.Canceled { // closed already
			first = err
		}
	}
	return first
}

// Tasks returns the raw stub of TaskService. Its calls are repeated as described in the package comment, but for Submit
// (without a Producer of your own a repeat would store the tasks again). Its errors are *Error too.
func (c *Client) Tasks() yardmasterv1.TaskServiceClient { return c.tasks }

// Queues returns the raw stub of QueueService; see Tasks.
func (c *Client) Queues() yardmasterv1.QueueServiceClient { return c.queues }

// Operator returns the raw stub of OperatorService; see Tasks.
func (c *Client) Operator() yardmasterv1.OperatorServiceClient { return c.operator }
