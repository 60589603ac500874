package tests

import (
	"os"
	"strings"
	"testing"
	"time"
)

// seq lets operations follow each other; each begins after the one before it has ended.
func seq(ops ...histOp) []histOp {
	for i := range ops {
		ops[i].Call, ops[i].Return = int64(10*i+1), int64(10*i+5)
	}
	return ops
}

// story makes operations of one task.
type story struct{}

func (story) submit(id uint64) histOp { return histOp{Kind: histSubmit, Answer: histStored, Task: id} }

func (story) lost() histOp { return histOp{Kind: histSubmit} }

func (story) grant(token uint64, gen, spent uint32) histOp {
	return histOp{Kind: histGrant, Answer: histDone, Task: 1, Token: token, Gen: gen, Attempts: spent}
}

func (story) outcome(token uint64, reported, answer string) histOp {
	return histOp{Kind: histOutcome, Answer: answer, Task: 1, Token: token, Reported: reported}
}

func (story) get(state string, token uint64, gen, attempts uint32) histOp {
	return histOp{Kind: histGet, Answer: state, Task: 1, Token: token, Gen: gen, Attempts: attempts}
}

func (story) await(state string, token uint64, attempts uint32) histOp {
	return histOp{Kind: histAwait, Answer: state, Task: 1, Token: token, Attempts: attempts}
}

func (story) do(kind, answer string) histOp { return histOp{Kind: kind, Answer: answer, Task: 1} }

func (story) force(answer string) histOp {
	return histOp{Kind: histCancel, Answer: answer, Task: 1, Force: true}
}

// asked is a Get of a lease whose cancellation was asked for.
func (story) asked(token uint64) histOp {
	return histOp{Kind: histGet, Answer: histLeased, Task: 1, Token: token, Gen: 1, Asked: true}
}

// histCase is a history and whether it can have been.
type histCase struct {
	name    string
	legal   bool
	repeats bool
	max     uint32 // 0: 20
	ops     []histOp
}

// histCases are about leases, outcomes and submits.
func histCases() []histCase {
	var s story
	return []histCase{
		{"a life", true, false, 0, seq(s.submit(1), s.get(histReady, 0, 1, 0), s.grant(7, 1, 0), s.get(histLeased, 7, 1, 0),
			s.outcome(7, histSucceeded, histAccepted), s.await(histSucceeded, 7, 1), s.do(histCancel, histEnded),
			s.do(histDelete, histDone), s.get(histForgotten, 0, 0, 0), s.do(histDelete, histMissing))},
		{"a lease is lost and given again", true, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.grant(9, 1, 0),
			s.outcome(7, histSucceeded, histFenced), s.outcome(9, histSucceeded, histAccepted), s.outcome(7, histSucceeded, histGone))},
		{"accepted twice", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.outcome(7, histSucceeded, histAccepted),
			s.outcome(7, histSucceeded, histAccepted))},
		{"two tokens accepted", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.grant(9, 1, 0),
			s.outcome(9, histSucceeded, histAccepted), s.outcome(7, histSucceeded, histAccepted))},
		{"a stale token accepted", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.get(histLeased, 9, 1, 0),
			s.outcome(7, histSucceeded, histAccepted))},
		{"fenced, then current", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.outcome(7, histFails, histFenced),
			s.get(histLeased, 7, 1, 0))},
		{"accepted after a cancel by force", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.force(histDone),
			s.outcome(7, histSucceeded, histAccepted))},
		{"gone while it lives", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.outcome(7, histSucceeded, histGone),
			s.get(histReady, 0, 1, 0))},
		{"a token twice", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.outcome(7, histFails, histAccepted), s.grant(7, 1, 1),
			s.outcome(7, histSucceeded, histAccepted))},
		{"tokens that shrink", false, false, 0, seq(s.submit(1), s.get(histLeased, 9, 1, 0), s.get(histReady, 0, 1, 0),
			s.get(histLeased, 7, 1, 0))},
		{"Get goes back in time", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.outcome(7, histSucceeded, histAccepted),
			s.get(histSucceeded, 7, 1, 1), s.get(histLeased, 7, 1, 0))},
		{"Get is behind an accepted outcome", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0),
			s.outcome(7, histSucceeded, histAccepted), s.get(histReady, 0, 1, 0))},
		{"attempts go back", false, false, 0, seq(s.submit(1), s.get(histReady, 0, 1, 2), s.get(histReady, 0, 1, 1))},
		{"a submit is lost", false, false, 0, seq(s.submit(1), s.get(histUnknownID, 0, 0, 0))},
		{"a submit is forgotten", false, false, 0, seq(s.submit(1), s.get(histForgotten, 0, 0, 0))},
		{"a key with two ids", false, true, 0, seq(s.submit(1), s.submit(2))},
		{"a key with one id", true, true, 0, seq(s.submit(1), s.submit(1))},
		{"one id for two submits", false, false, 0, seq(s.submit(1), s.submit(1))},
		{"a submit stored twice", false, true, 0, seq(s.submit(1), histOp{Kind: histListed, Answer: histStored, Task: 2})},
		{"an unanswered submit is stored", true, false, 0, seq(s.lost(), s.get(histReady, 0, 1, 0))},
	}
}

// histCallCases are about what clients do.
func histCallCases() []histCase {
	var s story
	return []histCase{
		{"a lease that never came is answered for", true, false, 0, seq(s.submit(1), s.do(histCancel, histRequested),
			histOp{Kind: histOutcome, Answer: histAccepted, Task: 1, Token: 7, Reported: histInterrupted, Unseen: true},
			s.await(histCancelled, 0, 0))},
		{"a stale lease that never came is answered for", false, false, 0, seq(s.submit(1), s.grant(9, 1, 0), s.do(histCancel, histRequested),
			s.asked(9), histOp{Kind: histOutcome, Answer: histAccepted, Task: 1, Token: 7, Reported: histInterrupted, Unseen: true})},
		{"Await and Get disagree", false, false, 0, seq(s.submit(1), s.do(histCancel, histDone), s.await(histSucceeded, 7, 1))},
		{"Await names another's token", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.grant(9, 1, 0),
			s.outcome(9, histSucceeded, histAccepted), s.await(histSucceeded, 7, 1))},
		{"not terminal, and it has ended", false, false, 0, seq(s.submit(1), s.do(histCancel, histDone), s.do(histDelete, histNotEnded))},
		{"a lease is cancelled without force", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.do(histCancel, histDone),
			s.outcome(7, histSucceeded, histAccepted))},
		{"cancelled at once while leased", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.do(histCancel, histDone),
			s.await(histCancelled, 7, 0))},
		{"a failure told as a lost worker", false, false, 2, seq(s.submit(1), s.grant(7, 1, 0), s.outcome(7, histPermanent, histAccepted),
			histOp{Kind: histAwait, Answer: histDead, Task: 1, Token: 7, Attempts: 1, Lost: true})},
		{"a worker lost with the last attempt", true, false, 2, seq(s.submit(1), s.grant(7, 1, 0),
			histOp{Kind: histAwait, Answer: histDead, Task: 1, Attempts: 2, Lost: true}, s.outcome(7, histSucceeded, histGone))},
		{"a generation without a retry", false, false, 0, seq(s.submit(1), s.get(histReady, 0, 2, 0))},
		{"a grant of a generation without a retry", false, false, 0, seq(s.submit(1), s.grant(7, 2, 0))},
		{"a wish to cancel that nobody had", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.asked(7))},
		{"cancelled, then granted", false, false, 0, seq(s.submit(1), s.do(histCancel, histDone), s.get(histLeased, 7, 1, 0))},
		{"a cancel is asked for", true, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.do(histCancel, histRequested), s.asked(7),
			s.outcome(7, histCancelled, histAccepted), s.await(histCancelled, 7, 0))},
		{"a wish to cancel is forgotten", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.do(histCancel, histRequested),
			s.outcome(7, histFails, histAccepted), s.get(histReady, 0, 1, 1))},
		{"a dead letter retried", true, false, 2, seq(s.submit(1), s.grant(7, 1, 0), s.outcome(7, histPermanent, histAccepted),
			s.await(histDead, 7, 1), s.do(histRetry, histDone), s.get(histReady, 0, 2, 0), s.grant(9, 2, 0))},
		{"Await tells the generation before", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.outcome(7, histPermanent, histAccepted),
			s.do(histRetry, histDone), s.await(histDead, 7, 1))},
		{"retried twice", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.outcome(7, histPermanent, histAccepted),
			s.do(histRetry, histDone), s.do(histRetry, histDone))},
		{"deleted twice", false, false, 0, seq(s.submit(1), s.do(histCancel, histDone), s.do(histDelete, histDone), s.do(histDelete, histDone))},
		{"deleted, and there", false, false, 0, seq(s.submit(1), s.do(histCancel, histDone), s.do(histDelete, histDone),
			s.get(histCancelled, 0, 1, 0))},
		{"not there, and there", false, false, 0, seq(s.submit(1), s.do(histDelete, histMissing), s.get(histReady, 0, 1, 0))},
		{"dead before its attempts are spent", false, false, 0, seq(s.submit(1), s.grant(7, 1, 0), s.outcome(7, histFails, histAccepted),
			s.await(histDead, 7, 1))},
		{"an unanswered retry comes late", true, false, 0, seq(s.submit(1), s.grant(7, 1, 0),
			s.outcome(7, histPermanent, histAccepted), s.do(histRetry, histOpen), s.get(histDead, 7, 1, 1), s.get(histReady, 0, 2, 0))},
	}
}

// TestHistoryModel plants each fault that the checker is there for; and it takes what may be.
func TestHistoryModel(t *testing.T) {
	for _, c := range append(histCases(), histCallCases()...) {
		h := histTask{Group: 1, Repeats: c.repeats, Max: c.max, ID: 1, Ops: c.ops}
		if h.Max == 0 {
			h.Max = 20
		}
		v, err := checkHistory([]histTask{h}, 10*time.Second, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if legal := v.illegal == 0; legal != c.legal || v.unknown != 0 {
			t.Errorf("%s: %+v, want legal: %t", c.name, v, c.legal)
		}
	}
}

// TestHistoryFiles: of an illegal history there is a file and a picture.
func TestHistoryFiles(t *testing.T) {
	var s story
	h := histTask{Group: 5, Max: 20, Ops: seq(s.submit(1), s.get(histUnknownID, 0, 0, 0))}
	v, err := checkHistory([]histTask{h}, 10*time.Second, t.TempDir())
	if err != nil || len(v.files) != 2 || v.illegal != 1 || v.ops != 2 || v.most != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	for i, want := range []string{`"Group": 5`, "<html"} {
		data, err := os.ReadFile(v.files[i])
		if err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s lacks %q: %v", v.files[i], want, err)
		}
	}
}

// TestHistoryOverlap: operations at the same time may be in either order, also where that of one is known by another's answer.
func TestHistoryOverlap(t *testing.T) {
	var s story
	ops := seq(s.submit(1), s.get(histCancelled, 0, 1, 0), s.do(histCancel, histDone))
	ops[1].Return, ops[2].Call = 50, 12 // the Get sees what the cancel does meanwhile
	h := histTask{Group: 1, Max: 20, Ops: ops}
	v, err := checkHistory([]histTask{h}, 10*time.Second, t.TempDir())
	if err != nil || v.illegal+v.unknown != 0 || v.most != 2 {
		t.Errorf("%+v, %v", v, err)
	}
}
