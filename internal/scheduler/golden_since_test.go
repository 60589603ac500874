package scheduler

// digestSince2 adds what effects have had since logic 2.
func digestSince2(e *Effects, add func(v ...any)) {
	for i := range e.Finished {
		add(e.Finished[i].Granted)
	}
	for i := range e.Failed {
		f := &e.Failed[i]
		add(f.Gen, f.Token, f.Session, f.Granted, f.Worker)
	}
	for i := range e.Events {
		v := &e.Events[i]
		add(v.Position, v.Task, v.Token, v.Session, v.Queue, v.Kind, v.Worker, v.Gen, v.Attempt, v.Type, v.Cause)
	}
}
