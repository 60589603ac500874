package rpc

import (
	"fmt"
	"strconv"

	"google.golang.org/grpc/codes"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

const (
	// ProtocolVersion is the newest version of the session protocol that is spoken here.
	ProtocolVersion = 2
	// ProtocolVersionMin is the oldest.
	ProtocolVersionMin = 1

	messageBytesMin = 2 << 20 // the least that a worker must accept in one message
)

// hello is a checked Hello.
type hello struct {
	version uint32 // of the protocol: the lower one of both sides
	worker  scheduler.WorkerInfo
	resume  scheduler.SessionID // 0: open
	tokens  []scheduler.KnownToken
	answers uint64 // received through this number
}

// checkHello checks a stream's first message.
func checkHello(req *yardmasterv1.SessionRequest) (*hello, error) {
	h := req.GetHello()
	if h == nil {
		return nil, invalid("message", "want a Hello first")
	}
	if h.GetProtocolVersion() < ProtocolVersionMin {
		return nil, refuse(codes.FailedPrecondition, ReasonProtocol, 0,
			fmt.Sprintf("the worker speaks protocol version %d, this coordinator %d to %d: upgrade the worker",
				h.GetProtocolVersion(), ProtocolVersionMin, ProtocolVersion))
	}
	var v violations
	out := &hello{answers: req.GetAnswersThrough(), version: min(h.GetProtocolVersion(), ProtocolVersion)}
	out.worker = scheduler.WorkerInfo{
		Name: h.GetWorkerName(), Incarnation: hash128(&v, "hello.incarnation", h.GetIncarnation()),
		Kinds:  v.names("hello.kinds", h.GetKinds(), 1, scheduler.KindsMax),
		Queues: v.names("hello.queues", h.GetQueues(), 0, scheduler.KindsMax),
		Labels: v.labels("hello.labels", h.GetLabels()), Pools: pools(&v, h.GetPools(), out.version),
	}
	v.name("hello.worker_name", out.worker.Name)
	if n := h.GetMaxMessageBytes(); n != 0 && n < messageBytesMin {
		v.add("hello.max_message_bytes", "want at least %d (0 means 4 MiB), got %d", messageBytesMin, n)
	}
	if r := h.GetResume(); r != nil {
		out.resume = scheduler.SessionID(r.GetSessionId())
		if out.resume == 0 {
			v.add("hello.resume.session_id", "want a session's id, got 0")
		}
		out.tokens = knownTokens(&v, r.GetTokens())
	}
	return out, v.err()
}

// pools checks pools. A worker that speaks no version with Recall is sent nothing ahead: it couldn't be asked for it back.
func pools(v *violations, list []*yardmasterv1.Pool, version uint32) []scheduler.Pool {
	if len(list) == 0 || len(list) > scheduler.PoolsMax {
		v.add("hello.pools", "want 1 to %d pools, got %d", scheduler.PoolsMax, len(list))
		return nil
	}
	out := make([]scheduler.Pool, len(list))
	poolOf, names := map[string]string{}, map[string]bool{}
	for i, p := range list {
		field := "hello.pools[" + strconv.Itoa(i) + "]."
		v.name(field+"name", p.GetName())
		if names[p.GetName()] {
			v.add(field+"name", "want each pool's name once, got %s again", quote(p.GetName()))
		}
		names[p.GetName()] = true
		if p.GetSlots() == 0 || p.GetSlots() > scheduler.SlotsMax {
			v.add(field+"slots", "want 1 to %d, got %d", scheduler.SlotsMax, p.GetSlots())
		}
		kinds := v.names(field+"kinds", p.GetKinds(), 0, scheduler.KindsMax)
		for _, k := range kinds {
			if other, taken := poolOf[k]; taken && other != p.GetName() {
				v.add(field+"kinds", "want a kind in one pool, got %s in %s too", quote(k), quote(other))
			}
			poolOf[k] = p.GetName()
		}
		out[i] = scheduler.Pool{Name: p.GetName(), Slots: uint16(min(p.GetSlots(), scheduler.SlotsMax)), Kinds: kinds}
		if version < session.VersionRecall {
			continue
		}
		if p.GetPrefetch() > scheduler.PrefetchMax {
			v.add(field+"prefetch", "want 0 to %d, got %d", scheduler.PrefetchMax, p.GetPrefetch())
		}
		out[i].Prefetch = uint16(min(p.GetPrefetch(), scheduler.PrefetchMax))
	}
	return out
}

var phases = map[yardmasterv1.KnownToken_Phase]scheduler.TokenPhase{
	yardmasterv1.KnownToken_PHASE_HELD:     scheduler.PhaseHeld,
	yardmasterv1.KnownToken_PHASE_STARTED:  scheduler.PhaseStarted,
	yardmasterv1.KnownToken_PHASE_FINISHED: scheduler.PhaseFinished,
}

func knownTokens(v *violations, list []*yardmasterv1.KnownToken) []scheduler.KnownToken {
	if len(list) > scheduler.TokensKnownMax {
		v.add("hello.resume.tokens", "want at most %d, got %d", scheduler.TokensKnownMax, len(list))
		return nil
	}
	out := make([]scheduler.KnownToken, len(list))
	v.at.list = "hello.resume.tokens"
	for i, k := range list {
		v.at.i = i
		phase, ok := phases[k.GetPhase()]
		if !ok {
			v.add("phase", "want HELD, STARTED or FINISHED, got %s", k.GetPhase())
		}
		if k.GetToken() == 0 {
			v.add("token", "want a token, got 0")
		}
		if k.GetWeight() == 0 || k.GetWeight() > scheduler.WeightMax {
			v.add("weight", "want 1 to %d, got %d", scheduler.WeightMax, k.GetWeight())
		}
		v.name("pool", k.GetPool())
		out[i] = scheduler.KnownToken{
			Token: scheduler.Token(k.GetToken()), Task: scheduler.TaskID(k.GetTaskId()), Phase: phase,
			Weight: uint16(min(k.GetWeight(), scheduler.WeightMax)), Pool: k.GetPool(),
		}
	}
	v.at = prefix{}
	return out
}
