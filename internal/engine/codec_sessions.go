package engine

import (
	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func workerToProto(w *scheduler.WorkerInfo) *storagev1.WorkerInfo {
	p := &storagev1.WorkerInfo{
		Name: w.Name, Incarnation: w.Incarnation[:], Kinds: w.Kinds, Queues: w.Queues, Labels: labelsToProto(w.Labels),
	}
	for i := range w.Pools {
		q := &w.Pools[i]
		p.Pools = append(p.Pools, &storagev1.Pool{Name: q.Name, Slots: uint32(q.Slots), Kinds: q.Kinds, Prefetch: uint32(q.Prefetch)})
	}
	return p
}

func workerFromProto(p *storagev1.WorkerInfo, w *scheduler.WorkerInfo) error {
	*w = scheduler.WorkerInfo{Name: p.GetName(), Kinds: p.GetKinds(), Queues: p.GetQueues(), Labels: labelsFromProto(p.GetLabels())}
	for _, q := range p.GetPools() {
		w.Pools = append(w.Pools, scheduler.Pool{
			Name: q.GetName(), Slots: narrow16(q.GetSlots()), Kinds: q.GetKinds(), Prefetch: narrow16(q.GetPrefetch()),
		})
	}
	return hashFromProto(p.GetIncarnation(), &w.Incarnation)
}

func knownToProto(tokens []scheduler.KnownToken) []*storagev1.KnownToken {
	if len(tokens) == 0 {
		return nil
	}
	p := make([]*storagev1.KnownToken, len(tokens))
	for i, k := range tokens {
		p[i] = &storagev1.KnownToken{Token: uint64(k.Token), Task: uint64(k.Task), Weight: uint32(k.Weight), Pool: k.Pool, Phase: uint32(k.Phase)}
	}
	return p
}

func knownFromProto(p []*storagev1.KnownToken) []scheduler.KnownToken {
	if len(p) == 0 {
		return nil
	}
	tokens := make([]scheduler.KnownToken, len(p))
	for i, k := range p {
		tokens[i] = scheduler.KnownToken{
			Token: scheduler.Token(k.GetToken()), Task: scheduler.TaskID(k.GetTask()), Weight: narrow16(k.GetWeight()), Pool: k.GetPool(),
			Phase: scheduler.TokenPhase(narrow8(k.GetPhase())),
		}
	}
	return tokens
}

func sessionFromProto(p *storagev1.SessionCommand) *scheduler.SessionCommand {
	return &scheduler.SessionCommand{
		Session: scheduler.SessionID(p.GetSession()), Attach: p.GetAttach(), Over: idsFromProto[scheduler.Token](p.GetOver()),
		Unconfirmed: idsFromProto[scheduler.Token](p.GetUnconfirmed()), Started: idsFromProto[scheduler.Token](p.GetStarted()),
		Tokens: idsFromProto[scheduler.Token](p.GetTokens()),
	}
}

func labelsToProto(labels []scheduler.Label) []*storagev1.Label {
	if len(labels) == 0 {
		return nil
	}
	p := make([]*storagev1.Label, len(labels))
	for i, l := range labels {
		p[i] = &storagev1.Label{Key: l.Key, Value: l.Value}
	}
	return p
}
