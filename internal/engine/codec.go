package engine

import (
	"errors"
	"fmt"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/encoding/protowire"
)

// checkLogic refuses a logic version that this build has no rules for.
func checkLogic(version uint32) error {
	if version == 0 || version > scheduler.LogicVersion {
		return fmt.Errorf("it was written under logic version %d and this build knows 1 to %d: use the build that wrote it",
			version, scheduler.LogicVersion)
	}
	return nil
}

// identity is what makes an entry distinct.
type identity struct{ proposer, proposal uint64 }

// entryIdentity reads an entry's identity without decoding its commands, which come last.
func entryIdentity(data []byte) (id identity) {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 || num >= 5 {
			return id
		}
		data = data[n:]
		switch {
		case num == 3 && typ == protowire.Fixed64Type:
			if id.proposer, n = protowire.ConsumeFixed64(data); n < 0 {
				return identity{}
			}
		case num == 4 && typ == protowire.VarintType:
			if id.proposal, n = protowire.ConsumeVarint(data); n < 0 {
				return identity{}
			}
			return id
		default:
			if n = protowire.ConsumeFieldValue(num, typ, data); n < 0 {
				return id
			}
		}
		data = data[n:]
	}
	return id
}

// commandToProto is for the commands that an encoder doesn't write itself.
func commandToProto(c *scheduler.Command) *storagev1.Command {
	p := &storagev1.Command{Op: uint32(c.Op)}
	switch c.Op {
	case scheduler.OpBeginTerm:
		l := c.BeginTerm.Limits
		p.Args = &storagev1.Command_BeginTerm{BeginTerm: &storagev1.BeginTerm{
			Term: c.BeginTerm.Term, Limits: &storagev1.Limits{MaxTasks: l.MaxTasks, Depth: l.Depth},
		}}
	case scheduler.OpTick, scheduler.OpRestored:
	case scheduler.OpCancel:
		p.Args = &storagev1.Command_Cancel{Cancel: &storagev1.Cancel{
			Ids: idsToProto(c.Cancel.IDs), Force: c.Cancel.Force, Purge: c.Cancel.Purge,
		}}
	case scheduler.OpOpenSession:
		p.Args = &storagev1.Command_Open{Open: &storagev1.OpenSession{
			Worker: workerToProto(&c.Open.Worker), Live: c.Open.Live, Tokens: knownToProto(c.Open.Tokens),
		}}
	case scheduler.OpResumeSession:
		p.Args = &storagev1.Command_Resume{Resume: &storagev1.ResumeSession{
			Session: uint64(c.Resume.Session), Incarnation: c.Resume.Incarnation[:], Tokens: knownToProto(c.Resume.Tokens),
			AnswersThrough: c.Resume.AnswersThrough,
		}}
	case scheduler.OpPauseQueue, scheduler.OpResumeQueue, scheduler.OpConfigureQueue:
		p.Args = &storagev1.Command_Queue{Queue: queueToProto(c.Queue)}
	case scheduler.OpForget:
		f := &storagev1.Forget{}
		for _, it := range c.Forget.Items {
			f.Items = append(f.Items, &storagev1.DeadRef{Id: uint64(it.ID), Gen: it.Gen})
		}
		p.Args = &storagev1.Command_Forget{Forget: f}
	case scheduler.OpDelete:
		d := &storagev1.Delete{}
		for _, it := range c.Delete.Items {
			d.Items = append(d.Items, &storagev1.DeleteItem{Id: uint64(it.ID), Gen: it.Gen, Found: it.Found})
		}
		p.Args = &storagev1.Command_Delete{Delete: d}
	case scheduler.OpSetLogic:
		p.Args = &storagev1.Command_SetLogic{SetLogic: &storagev1.SetLogic{Logic: c.SetLogic.Logic}}
	default:
		s := c.Session
		p.Args = &storagev1.Command_Session{Session: &storagev1.SessionCommand{
			Session: uint64(s.Session), Attach: s.Attach, Over: idsToProto(s.Over), Unconfirmed: idsToProto(s.Unconfirmed),
			Started: idsToProto(s.Started), Tokens: idsToProto(s.Tokens),
		}}
	}
	return p
}

var errArgs = errors.New("its arguments are missing or of another command")

func commandFromProto(p *storagev1.Command, c *scheduler.Command) error {
	c.Op = scheduler.Op(narrow8(p.GetOp()))
	ok := true
	var err error
	switch c.Op {
	case scheduler.OpBeginTerm:
		b := p.GetBeginTerm()
		ok = b != nil
		c.BeginTerm = &scheduler.BeginTerm{
			Term: b.GetTerm(), Limits: scheduler.Limits{MaxTasks: b.GetLimits().GetMaxTasks(), Depth: b.GetLimits().GetDepth()},
		}
	case scheduler.OpTick, scheduler.OpRestored:
	case scheduler.OpSubmit:
		ok = p.GetSubmit() != nil
		c.Submit, err = submitFromProto(p.GetSubmit())
	case scheduler.OpCancel:
		ok = p.GetCancel() != nil
		c.Cancel = &scheduler.Cancel{
			IDs: idsFromProto[scheduler.TaskID](p.GetCancel().GetIds()), Force: p.GetCancel().GetForce(), Purge: p.GetCancel().GetPurge(),
		}
	case scheduler.OpRetry:
		ok = p.GetRetry() != nil
		c.Retry, err = retryFromProto(p.GetRetry())
	case scheduler.OpOpenSession:
		o := p.GetOpen()
		ok = o != nil
		c.Open = &scheduler.OpenSession{Live: o.GetLive(), Tokens: knownFromProto(o.GetTokens())}
		err = workerFromProto(o.GetWorker(), &c.Open.Worker)
	case scheduler.OpResumeSession:
		r := p.GetResume()
		ok = r != nil
		c.Resume = &scheduler.ResumeSession{
			Session: scheduler.SessionID(r.GetSession()), Tokens: knownFromProto(r.GetTokens()), AnswersThrough: r.GetAnswersThrough(),
		}
		err = hashFromProto(r.GetIncarnation(), &c.Resume.Incarnation)
	case scheduler.OpOutcomes:
		ok = p.GetOutcomes() != nil
		c.Outcomes = outcomesFromProto(p.GetOutcomes())
	case scheduler.OpPauseQueue, scheduler.OpResumeQueue, scheduler.OpConfigureQueue:
		ok = p.GetQueue() != nil
		c.Queue = queueFromProto(p.GetQueue())
	case scheduler.OpForget:
		ok = p.GetForget() != nil
		c.Forget = &scheduler.Forget{}
		for _, it := range p.GetForget().GetItems() {
			c.Forget.Items = append(c.Forget.Items, scheduler.DeadRef{ID: scheduler.TaskID(it.GetId()), Gen: it.GetGen()})
		}
	case scheduler.OpDelete:
		ok = p.GetDelete() != nil
		c.Delete = &scheduler.Delete{Items: sliceOf[scheduler.DeleteItem](len(p.GetDelete().GetItems()))}
		for i, it := range p.GetDelete().GetItems() {
			c.Delete.Items[i] = scheduler.DeleteItem{ID: scheduler.TaskID(it.GetId()), Gen: it.GetGen(), Found: it.GetFound()}
		}
	case scheduler.OpSetLogic:
		ok = p.GetSetLogic() != nil
		c.SetLogic = &scheduler.SetLogic{Logic: p.GetSetLogic().GetLogic()}
	case scheduler.OpAttach, scheduler.OpDetach, scheduler.OpRelease, scheduler.OpExpireSession, scheduler.OpDrainSession,
		scheduler.OpCloseSession, scheduler.OpTimeoutLeases, scheduler.OpUnreadable:
		ok = p.GetSession() != nil
		c.Session = sessionFromProto(p.GetSession())
	default:
		return fmt.Errorf("unknown operation %d: use the build that wrote it", p.GetOp())
	}
	if !ok {
		return errArgs
	}
	return err
}

// narrow8 and narrow16 keep values too large for a field recognisable as such.
func narrow8(v uint32) uint8   { return uint8(min(v, 1<<8-1)) }
func narrow16(v uint32) uint16 { return uint16(min(v, 1<<16-1)) }

// sliceOf makes a slice; an empty one is nil, as the leader's batch has it.
func sliceOf[T any](n int) []T {
	if n == 0 {
		return nil
	}
	return make([]T, n)
}

func idsToProto[T ~uint64](ids []T) []uint64 {
	if len(ids) == 0 {
		return nil
	}
	p := make([]uint64, len(ids))
	for i, id := range ids {
		p[i] = uint64(id)
	}
	return p
}

func idsFromProto[T ~uint64](p []uint64) []T {
	if len(p) == 0 {
		return nil
	}
	ids := make([]T, len(p))
	for i, id := range p {
		ids[i] = T(id)
	}
	return ids
}

func hashFromProto(b []byte, h *scheduler.Hash128) error {
	if len(b) != 0 && len(b) != len(h) {
		return fmt.Errorf("a hash of %d bytes", len(b))
	}
	copy(h[:], b)
	return nil
}
