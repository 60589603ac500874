package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/yardmaster/yardmaster/internal/name"
)

// HandlerFunc runs one attempt of a task and returns its result, at most ResultBytesMax bytes. An error fails the attempt,
// and the task is retried as its policy says; see Permanent, RetryAfter and Failure. When ctx ends the handler should
// return soon: context.Cause(ctx) says why. A panic fails the attempt too, and nothing else.
type HandlerFunc func(ctx context.Context, t *Task) ([]byte, error)

// Option sets up a handler.
type Option func(*handler)

// InPool runs a kind in another pool than DefaultPool: CPUPool, or one of Config.Pools.
func InPool(name string) Option { return func(h *handler) { h.pool = name } }

// CPU says that a handler computes most of the time. It runs in the pool CPUPool, whose slots (Config.CPUSlots) are as many
// as there are processors and which is sent nothing ahead: so handlers that wait for something, of which there may be many
// more at a time, never wait for those that compute, and those don't share the processors with more of their kind than
// there are. It is to a worker what spawn_blocking is to an asynchronous runtime, the other way round.
func CPU() Option { return InPool(CPUPool) }

// WithCodec has a typed handler's payload and result in another form than JSON.
func WithCodec(c Codec) Option { return func(h *handler) { h.codec = c } }

// Codec turns bytes into values and back.
type Codec interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

// JSON is the Codec of typed handlers that ask for no other.
var JSON Codec = jsonCodec{}

type jsonCodec struct{}

func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

type handler struct {
	kind  string
	pool  string
	codec Codec
	fn    HandlerFunc
}

// HandleRaw registers the handler of a kind. It panics if the kind is no name or has a handler already, if its pool isn't
// there, or if the worker runs already.
func (w *Worker) HandleRaw(kind string, fn HandlerFunc, opts ...Option) {
	w.handle(kind, opts, func(*handler) HandlerFunc { return fn })
}

// Handle registers a typed handler: the payload is decoded into In, and Out encoded as the result, by default as JSON. An
// empty payload is the zero In. A payload that can't be decoded, or a result that can't be encoded, is a permanent
// failure. It panics as HandleRaw does.
func Handle[In, Out any](w *Worker, kind string, fn func(context.Context, In) (Out, error), opts ...Option) {
	w.handle(kind, opts, func(h *handler) HandlerFunc {
		return func(ctx context.Context, t *Task) ([]byte, error) {
			var in In
			if len(t.Payload) > 0 {
				if err := h.codec.Unmarshal(t.Payload, &in); err != nil {
					return nil, Permanent(fmt.Errorf("decode payload of %d bytes: %w", len(t.Payload), err))
				}
			}
			out, err := fn(ctx, in)
			if err != nil {
				return nil, err
			}
			result, err := h.codec.Marshal(out)
			if err != nil {
				return nil, Permanent(fmt.Errorf("encode result: %w", err))
			}
			return result, nil
		}
	})
}

func (w *Worker) handle(kind string, opts []Option, fn func(*handler) HandlerFunc) {
	h := &handler{kind: kind, pool: DefaultPool, codec: JSON}
	for _, opt := range opts {
		opt(h)
	}
	h.fn = fn(h)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ran:
		panic(fmt.Sprintf("worker: handler of %q registered after Run", kind))
	case !name.Valid(kind):
		panic(fmt.Sprintf("worker: kind %q: want %s", kind, name.Rule))
	case w.handlers[kind] != nil:
		panic(fmt.Sprintf("worker: kind %q has a handler already", kind))
	case h.pool == CPUPool:
		if err := w.cfg.addCPUPool(); err != nil {
			panic(fmt.Sprintf("worker: pool %q for kind %q: %v", CPUPool, kind, err))
		}
	}
	switch {
	case !slices.ContainsFunc(w.cfg.Pools, func(p Pool) bool { return p.Name == h.pool }):
		panic(fmt.Sprintf("worker: kind %q runs in pool %q, which Config.Pools doesn't have", kind, h.pool))
	case len(w.handlers) == KindsMax:
		panic(fmt.Sprintf("worker: more than %d kinds", KindsMax))
	}
	w.handlers[kind] = h
}
