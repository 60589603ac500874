package engine

import (
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/encoding/protowire"
)

// passesFinished looks into an encoded storagev1.Finished without decoding it: a result may be a megabyte. The labels of
// one that lacks some late fields are left to who reads those.
func (f *filter) passesFinished(data []byte, late bool) bool {
	var state, submitted uint64
	var spec []byte
	withLabels := len(f.labels) > 0 && !late
	matched := uint64(0) // bits of labels
	eachField(data, func(num protowire.Number, n uint64, v []byte) (more bool) {
		switch num {
		case finishedState:
			state = n
		case finishedSpec:
			spec = v
		case finishedLabels:
			if withLabels {
				matched |= f.matches(v)
			}
		case finishedSubmitted:
			submitted = n
		}
		return num < finishedSubmitted || withLabels // labels that came late stand at the end
	})
	if !f.wantsState(scheduler.TaskState(state)) || !f.wantsSubmitted(scheduler.Time(submitted)) {
		return false
	}
	if withLabels && matched != 1<<len(f.labels)-1 {
		return false
	}
	var kind, queue []byte
	eachField(spec, func(num protowire.Number, _ uint64, v []byte) (more bool) {
		switch num {
		case specKind:
			kind = v
		case specQueue:
			queue = v
		}
		return num < specQueue
	})
	return (f.Queue == "" || f.Queue == string(queue)) && (f.Kind == "" || f.Kind == string(kind))
}

// matches returns the bit of the wanted label that an encoded storagev1.Label is, or 0.
func (f *filter) matches(data []byte) uint64 {
	var key, value []byte
	eachField(data, func(num protowire.Number, _ uint64, v []byte) (more bool) {
		switch num {
		case labelKey:
			key = v
		case labelValue:
			value = v
		}
		return true
	})
	for i := range f.labels {
		if string(key) == f.labels[i].Key && string(value) == f.labels[i].Value {
			return 1 << i
		}
	}
	return 0
}
