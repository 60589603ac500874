package store

import (
	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

func globalsToProto(g *scheduler.GlobalsRow) *storagev1.Globals {
	return &storagev1.Globals{
		Now: int64(g.Now), Served: int64(g.Served), Term: g.Term,
		Limits:   &storagev1.Limits{MaxTasks: g.Limits.MaxTasks, Depth: g.Limits.Depth},
		LastTask: uint64(g.LastTask), LastToken: uint64(g.LastToken), LastSession: uint64(g.LastSession),
		LastQueue: g.LastQueue, LastShape: g.LastShape, LastPolicy: g.LastPolicy,
		LastProducer: g.LastProducer, LastUse: g.LastUse, LastKey: g.LastKey, LastDead: g.LastDead,
		VirtualTime: g.VirtualTime, Logic: g.Logic, LastPosition: g.LastPosition,
		Restoring: g.Restoring, EndThrough: uint64(g.EndThrough),
	}
}

func decodeGlobals(key uint64, data []byte) (*scheduler.GlobalsRow, error) {
	m := new(storagev1.Globals)
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, err
	}
	var n narrow
	n.below("key", key, globalsKey)
	return &scheduler.GlobalsRow{
		Now: scheduler.Time(m.GetNow()), Served: scheduler.Duration(m.GetServed()), Term: m.GetTerm(),
		Limits:      scheduler.Limits{MaxTasks: m.GetLimits().GetMaxTasks(), Depth: m.GetLimits().GetDepth()},
		LastTask:    scheduler.TaskID(m.GetLastTask()),
		LastToken:   scheduler.Token(m.GetLastToken()),
		LastSession: scheduler.SessionID(m.GetLastSession()),
		LastQueue:   m.GetLastQueue(), LastShape: m.GetLastShape(), LastPolicy: m.GetLastPolicy(),
		LastProducer: m.GetLastProducer(), LastUse: m.GetLastUse(), LastKey: m.GetLastKey(), LastDead: m.GetLastDead(),
		VirtualTime: m.GetVirtualTime(), Logic: m.GetLogic(), LastPosition: m.GetLastPosition(),
		Restoring: m.GetRestoring(), EndThrough: scheduler.SessionID(m.GetEndThrough()),
	}, n.err
}

func queueToProto(q *scheduler.QueueRow) *storagev1.Queue {
	return &storagev1.Queue{
		Name: q.Name, Weight: uint32(q.Weight), Paused: q.Paused, Pass: q.Pass,
		Depth: q.Depth, MaxLeases: q.MaxLeases, Retention: int64(q.Retention), DeadRetention: int64(q.DeadRetention),
	}
}

func decodeQueue(key uint64, data []byte) (*scheduler.QueueRow, error) {
	m := new(storagev1.Queue)
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, err
	}
	var n narrow
	return &scheduler.QueueRow{
		ID: n.u32("key", key), Name: m.GetName(), Weight: n.u16("weight", m.GetWeight()),
		Paused: m.GetPaused(), Pass: m.GetPass(), Depth: m.GetDepth(), MaxLeases: m.GetMaxLeases(),
		Retention: scheduler.Duration(m.GetRetention()), DeadRetention: scheduler.Duration(m.GetDeadRetention()),
	}, n.err
}

func shapeToProto(s *scheduler.ShapeRow) *storagev1.Shape {
	return &storagev1.Shape{
		Queue: s.Queue, Kind: s.Kind, Require: labelsToProto(s.Require), Weight: uint32(s.Weight),
		Suspect: s.Suspect, HeadSince: int64(s.HeadSince), Reserved: uint64(s.Reserved),
	}
}

func decodeShape(key uint64, data []byte) (*scheduler.ShapeRow, error) {
	m := new(storagev1.Shape)
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, err
	}
	var n narrow
	return &scheduler.ShapeRow{
		ID: n.u32("key", key), Queue: m.GetQueue(), Kind: m.GetKind(),
		Require: labelsFromProto(m.GetRequire()), Weight: n.u16("weight", m.GetWeight()),
		Suspect: m.GetSuspect(), HeadSince: scheduler.Time(m.GetHeadSince()), Reserved: scheduler.SessionID(m.GetReserved()),
	}, n.err
}

func policyToProto(p *scheduler.Policy) *storagev1.Policy {
	return &storagev1.Policy{
		AttemptTimeout: int64(p.AttemptTimeout), Backoff: int64(p.Backoff), BackoffMax: int64(p.BackoffMax),
		Retention: int64(p.Retention), DeadRetention: int64(p.DeadRetention),
		MaxAttempts: uint32(p.MaxAttempts), MaxLosses: uint32(p.MaxLosses), Factor: uint32(p.Factor),
	}
}

func decodePolicy(key uint64, data []byte) (*scheduler.PolicyRow, error) {
	m := new(storagev1.Policy)
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, err
	}
	var n narrow
	return &scheduler.PolicyRow{ID: n.u32("key", key), Policy: scheduler.Policy{
		AttemptTimeout: scheduler.Duration(m.GetAttemptTimeout()),
		Backoff:        scheduler.Duration(m.GetBackoff()),
		BackoffMax:     scheduler.Duration(m.GetBackoffMax()),
		Retention:      scheduler.Duration(m.GetRetention()),
		DeadRetention:  scheduler.Duration(m.GetDeadRetention()),
		MaxAttempts:    n.u16("max_attempts", m.GetMaxAttempts()),
		MaxLosses:      n.u8("max_losses", m.GetMaxLosses()),
		Factor:         n.u8("factor", m.GetFactor()),
	}}, n.err
}

func (c *codec) keyToProto(k *scheduler.KeyRow) *storagev1.Key {
	m := &c.key
	m.Key = append(m.Key[:0], hashBytes(k.Key)...)
	m.Body = append(m.Body[:0], hashBytes(k.Body)...)
	m.Task = uint64(k.Task)
	m.Expires = int64(k.Expires)
	return m
}

func (c *codec) decodeKey(key uint64, data []byte, k *scheduler.KeyRow) error {
	m := &c.key
	if err := proto.Unmarshal(data, m); err != nil {
		return err
	}
	var n narrow
	*k = scheduler.KeyRow{
		Row: key, Key: n.hash("key", m.GetKey()), Body: n.hash("body", m.GetBody()),
		Task: scheduler.TaskID(m.GetTask()), Expires: scheduler.Duration(m.GetExpires()),
	}
	return n.err
}

func (c *codec) deadToProto(d *scheduler.DeadRow) *storagev1.Dead {
	m := &c.dead
	m.Task, m.Gen, m.Queue = uint64(d.Task), d.Gen, d.Queue
	return m
}

func (c *codec) decodeDead(key uint64, data []byte, d *scheduler.DeadRow) error {
	m := &c.dead
	if err := proto.Unmarshal(data, m); err != nil {
		return err
	}
	*d = scheduler.DeadRow{Row: key, Task: scheduler.TaskID(m.GetTask()), Gen: m.GetGen(), Queue: m.GetQueue()}
	return nil
}
