package engine

import (
	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func queueToProto(q *scheduler.QueueCommand) *storagev1.QueueCommand {
	return &storagev1.QueueCommand{
		Name: q.Name, Weight: uint32(q.Weight), Fields: uint32(q.Fields), Depth: q.Depth, MaxLeases: q.MaxLeases,
		Retention: int64(q.Retention), DeadRetention: int64(q.DeadRetention),
	}
}

func queueFromProto(p *storagev1.QueueCommand) *scheduler.QueueCommand {
	return &scheduler.QueueCommand{
		Name: p.GetName(), Weight: narrow16(p.GetWeight()), Fields: scheduler.QueueFields(narrow8(p.GetFields())), Depth: p.GetDepth(),
		MaxLeases: p.GetMaxLeases(), Retention: scheduler.Duration(p.GetRetention()), DeadRetention: scheduler.Duration(p.GetDeadRetention()),
	}
}
