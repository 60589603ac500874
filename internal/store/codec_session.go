package store

import (
	"fmt"
	"math"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

// answersToProto refuses what answersFromProto would refuse.
func answersToProto(answers []scheduler.Answer) ([]byte, error) {
	for _, a := range answers {
		if a < scheduler.AnswerAccepted || a > scheduler.AnswerGone {
			return nil, fmt.Errorf("answer %d is unknown", a)
		}
	}
	return mapped(answers, func(a scheduler.Answer) byte { return byte(a) }), nil
}

func answersFromProto(answers []byte) ([]scheduler.Answer, error) {
	list := mapped(answers, func(a byte) scheduler.Answer { return scheduler.Answer(a) })
	_, err := answersToProto(list)
	return list, err
}

func workerToProto(w *scheduler.WorkerInfo) *storagev1.WorkerInfo {
	return &storagev1.WorkerInfo{
		Name: w.Name, Incarnation: hashBytes(w.Incarnation), Kinds: w.Kinds, Queues: w.Queues,
		Labels: labelsToProto(w.Labels),
		Pools: mapped(w.Pools, func(p scheduler.Pool) *storagev1.Pool {
			return &storagev1.Pool{Name: p.Name, Slots: uint32(p.Slots), Kinds: p.Kinds, Prefetch: uint32(p.Prefetch)}
		}),
	}
}

func workerFromProto(m *storagev1.WorkerInfo, n *narrow) scheduler.WorkerInfo {
	return scheduler.WorkerInfo{
		Name: m.GetName(), Incarnation: n.hash("incarnation", m.GetIncarnation()),
		Kinds: m.GetKinds(), Queues: m.GetQueues(), Labels: labelsFromProto(m.GetLabels()),
		Pools: mapped(m.GetPools(), func(p *storagev1.Pool) scheduler.Pool {
			return scheduler.Pool{
				Name: p.GetName(), Slots: n.u16("slots", p.GetSlots()), Kinds: p.GetKinds(),
				Prefetch: n.u16("prefetch", p.GetPrefetch()),
			}
		}),
	}
}

func sessionToProto(s *scheduler.SessionRow) (*storagev1.Session, error) {
	answers, err := answersToProto(s.Answers)
	return &storagev1.Session{
		Worker: workerToProto(&s.Worker), Opened: int64(s.Opened),
		AttachTerm: s.AttachTerm, Attach: s.Attach, HeardTerm: s.HeardTerm, LastGrant: uint64(s.LastGrant),
		Draining: s.Draining, Superseded: s.Superseded, Ending: s.Ending,
		AnswersFrom: s.AnswersFrom, Answers: answers,
		EndStarted: mapped(s.EndStarted, func(t scheduler.Token) uint64 { return uint64(t) }),
	}, err
}

func decodeSession(key uint64, data []byte) (*scheduler.SessionRow, error) {
	m := new(storagev1.Session)
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, err
	}
	answers, err := answersFromProto(m.GetAnswers())
	if err != nil {
		return nil, err
	}
	var n narrow
	return &scheduler.SessionRow{
		ID: scheduler.SessionID(key), Worker: workerFromProto(m.GetWorker(), &n), Opened: scheduler.Time(m.GetOpened()),
		AttachTerm: m.GetAttachTerm(), Attach: m.GetAttach(), HeardTerm: m.GetHeardTerm(),
		LastGrant: scheduler.Token(m.GetLastGrant()),
		Draining:  m.GetDraining(), Superseded: m.GetSuperseded(), Ending: m.GetEnding(),
		AnswersFrom: m.GetAnswersFrom(), Answers: answers,
		EndStarted: mapped(m.GetEndStarted(), func(t uint64) scheduler.Token { return scheduler.Token(t) }),
	}, n.err
}

func producerToProto(p *scheduler.ProducerRow) (*storagev1.Producer, error) {
	for i := range p.Answers {
		a := &p.Answers[i]
		if a.Count < 0 {
			return nil, fmt.Errorf("count is %d", a.Count)
		}
		for _, old := range a.Old {
			if old < 0 {
				return nil, fmt.Errorf("old is %d", old)
			}
		}
	}
	return &storagev1.Producer{
		Id: hashBytes(p.ID), LastUsed: int64(p.LastUsed), Use: p.Use, Lowest: p.Lowest,
		Answers: mapped(p.Answers, func(a scheduler.ProducerAnswer) *storagev1.ProducerAnswer {
			return &storagev1.ProducerAnswer{
				Number: a.Number, First: uint64(a.First), Count: uint32(a.Count),
				Ids: mapped(a.IDs, func(id scheduler.TaskID) uint64 { return uint64(id) }),
				Old: mapped(a.Old, func(old int32) uint32 { return uint32(old) }),
			}
		}),
	}, nil
}

func decodeProducer(key uint64, data []byte) (*scheduler.ProducerRow, error) {
	m := new(storagev1.Producer)
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, err
	}
	var n narrow
	i32 := func(field string, v uint32) int32 { return int32(n.below(field, uint64(v), math.MaxInt32)) }
	return &scheduler.ProducerRow{
		Row: key, ID: n.hash("id", m.GetId()), LastUsed: scheduler.Duration(m.GetLastUsed()),
		Use: m.GetUse(), Lowest: m.GetLowest(),
		Answers: mapped(m.GetAnswers(), func(a *storagev1.ProducerAnswer) scheduler.ProducerAnswer {
			return scheduler.ProducerAnswer{
				Number: a.GetNumber(), First: scheduler.TaskID(a.GetFirst()), Count: i32("count", a.GetCount()),
				IDs: taskIDs(a.GetIds()),
				Old: mapped(a.GetOld(), func(old uint32) int32 { return i32("old", old) }),
			}
		}),
	}, n.err
}
