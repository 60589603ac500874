package rpc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Pages of lists.
const (
	PageSizeDefault = 100
	PageSizeMax     = 1000
)

// List returns a page of tasks: what one bounded search of the engine finds. RUNNING is this leader's knowledge, so the
// engine is asked for leased tasks and what it finds is sorted out here.
func (t *taskService) List(ctx context.Context, req *yardmasterv1.TaskServiceListRequest) (*yardmasterv1.TaskServiceListResponse, error) {
	filter, wanted, err := listFilter(req)
	if err != nil {
		return nil, err
	}
	page, err := t.s.engine.FindPage(ctx, filter)
	if err != nil {
		return nil, t.s.fail("list tasks", err)
	}
	res := &yardmasterv1.TaskServiceListResponse{LastTaskId: uint64(page.Last)}
	next, bytes := page.Next, 0
	for _, task := range page.Tasks {
		p := t.s.taskProto(task, false)
		if p.GetOutcome() != nil {
			p.Outcome.Result = nil
		}
		if len(wanted) == 0 || wanted[p.GetState()] {
			bytes += proto.Size(p)
			if len(res.Tasks) > 0 && bytes > ResponseBytesMax {
				next = filter.After
				break
			}
			res.Tasks = append(res.Tasks, p)
		}
		filter.After = task.ID
	}
	if next > 0 {
		res.NextPageToken = pageToken(next, req)
	}
	return res, nil
}

// listFilter checks a List. wanted are the states asked for; empty: all.
func listFilter(req *yardmasterv1.TaskServiceListRequest) (f engine.ListFilter, wanted map[yardmasterv1.TaskState]bool, err error) {
	var v violations
	f = engine.ListFilter{
		Queue: req.GetQueue(), Kind: req.GetKind(), Through: scheduler.TaskID(req.GetThroughTaskId()),
		SubmittedFrom:   v.time("submitted_from", req.GetSubmittedFrom()),
		SubmittedBefore: v.time("submitted_before", req.GetSubmittedBefore()),
	}
	if f.Queue != "" {
		v.name("queue", f.Queue)
	}
	if f.Kind != "" {
		v.name("kind", f.Kind)
	}
	if v.labels("labels", req.GetLabels()); len(req.GetLabels()) > 0 {
		f.Labels = req.GetLabels()
	}
	f.Max = int(v.number("page_size", req.GetPageSize(), PageSizeMax, PageSizeDefault))
	if token := req.GetPageToken(); token != "" {
		var ok bool
		if f.After, ok = tokenPlace(token, req); !ok {
			v.add("page_token", "want the next_page_token of a page of the same filter, got %s: start again without one", quote(token))
		}
	}
	wanted = map[yardmasterv1.TaskState]bool{}
	for i, state := range req.GetStates() {
		known := state == yardmasterv1.TaskState_TASK_STATE_RUNNING
		if known {
			f.States = append(f.States, scheduler.Leased)
		}
		for core, p := range states {
			if p == state {
				known = true
				f.States = append(f.States, core)
			}
		}
		if !known {
			v.add("states["+strconv.Itoa(i)+"]", "want a task state, 1 to 9, got %d: leave it out", state)
		}
		wanted[state] = true
	}
	slices.Sort(f.States)
	f.States = slices.Compact(f.States)
	return f, wanted, v.err()
}

const (
	tokenVersion = 1
	tokenBytes   = 1 + 8 + 8 // version, place, head of the filter's hash
)

// pageToken names a place in the list of a filter.
func pageToken(after scheduler.TaskID, req *yardmasterv1.TaskServiceListRequest) string {
	b := make([]byte, 0, tokenBytes)
	b = append(b, tokenVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(after))
	b = append(b, filterHash(req)...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// tokenPlace reads a token. !ok: it isn't one of this filter.
func tokenPlace(token string, req *yardmasterv1.TaskServiceListRequest) (after scheduler.TaskID, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != tokenBytes || b[0] != tokenVersion || string(b[9:]) != string(filterHash(req)) {
		return 0, false
	}
	return scheduler.TaskID(binary.BigEndian.Uint64(b[1:9])), true
}

// filterHash tells filters apart: 8 bytes. The size of a page is no part of it, nor are fields that this version doesn't know.
func filterHash(req *yardmasterv1.TaskServiceListRequest) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&yardmasterv1.TaskServiceListRequest{
		Queue: req.GetQueue(), Kind: req.GetKind(), States: req.GetStates(), Labels: req.GetLabels(),
		SubmittedFrom: req.GetSubmittedFrom(), SubmittedBefore: req.GetSubmittedBefore(), ThroughTaskId: req.GetThroughTaskId(),
	})
	if err != nil { // text that isn't UTF-8, which gRPC wouldn't have decoded
		return nil
	}
	sum := sha256.Sum256(b)
	return sum[:8]
}
