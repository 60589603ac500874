package scheduler

// validName reports whether s is a name: [a-z0-9][a-z0-9._-]{0,62}.
func validName(s string) bool {
	if len(s) == 0 || len(s) > NameBytesMax {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// ValidName reports whether s may name a kind, queue, worker, pool or label: [a-z0-9][a-z0-9._-]{0,62}.
func ValidName(s string) bool { return validName(s) }

// valid is the core's own check of what a shell should have checked: nothing out of bounds enters the state.
func (t *TaskSpec) valid() bool {
	return t.Priority >= -PriorityMax && t.Priority <= PriorityMax &&
		t.Weight >= 1 && t.Weight <= WeightMax &&
		t.PayloadBytes <= PayloadBytesMax &&
		t.Delay >= 0 && t.Delay <= DelayMax && t.NotBefore >= 0 && (t.Delay == 0 || t.NotBefore == 0) &&
		t.StartBy >= 0 && t.Deadline >= 0 && t.Policy.valid()
}

func (p *Policy) valid() bool {
	return within(p.AttemptTimeout, AttemptTimeMax) && within(p.Backoff, BackoffFirstMax) &&
		within(p.BackoffMax, BackoffBoundMax) && within(p.Retention, RetentionMax) && within(p.DeadRetention, RetentionMax) &&
		p.MaxAttempts >= 1 && p.MaxAttempts <= AttemptsMax && p.MaxLosses >= 1 && p.MaxLosses <= LossesMax &&
		p.Factor >= 1 && p.Factor <= FactorMax
}

func within(d, most Duration) bool { return d >= 0 && d <= most }

// validShape checks what makes a new shape.
func (t *TaskSpec) validShape() bool {
	return validName(t.Kind) && validName(t.Queue) && validLabels(t.Require)
}

func validLabels(labels []Label) bool {
	if len(labels) > LabelsMax {
		return false
	}
	for i, l := range labels {
		if !validName(l.Key) || len(l.Value) > LabelValueMax || i > 0 && labels[i-1].Key >= l.Key {
			return false
		}
	}
	return true
}

func validNames(names []string, most int) bool {
	if len(names) > most {
		return false
	}
	for i, n := range names {
		if !validName(n) || i > 0 && names[i-1] >= n {
			return false
		}
	}
	return true
}

func (w *WorkerInfo) valid() bool {
	if !validName(w.Name) || len(w.Kinds) == 0 || !validNames(w.Kinds, KindsMax) || !validNames(w.Queues, KindsMax) ||
		!validLabels(w.Labels) || len(w.Pools) == 0 || len(w.Pools) > PoolsMax {
		return false
	}
	for i := range w.Pools {
		p := &w.Pools[i]
		if !validName(p.Name) || p.Slots == 0 || p.Slots > SlotsMax || p.Prefetch > PrefetchMax || !validNames(p.Kinds, KindsMax) {
			return false
		}
		for j := range i {
			if w.Pools[j].Name == p.Name {
				return false
			}
		}
	}
	return true
}
