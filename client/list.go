package client

import (
	"context"
	"iter"
	"time"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// Filter says which tasks to list: those that meet every condition set.
type Filter struct {
	Queue           string
	Kind            string
	States          []TaskState       // any of them; none: all states, finished ones included
	Labels          map[string]string // all of them, with these values; at most 32
	SubmittedFrom   time.Time         // submitted at this time or later
	SubmittedBefore time.Time         // submitted before this time
	Through         uint64            // ids up to this one; 0: no bound. A loop that acts on what it lists sets it, so that it ends
	PageSize        int               // tasks fetched at a time: 1 to 1,000; 0 means 100
}

func (f *Filter) request() *yardmasterv1.TaskServiceListRequest {
	return &yardmasterv1.TaskServiceListRequest{
		Queue: f.Queue, Kind: f.Kind, States: f.States, Labels: f.Labels, PageSize: clampUint32(f.PageSize),
		SubmittedFrom: timestamp(f.SubmittedFrom), SubmittedBefore: timestamp(f.SubmittedBefore), ThroughTaskId: f.Through,
	}
}

// List returns tasks in order of id, without payloads and results, fetching them a page at a time as the loop goes on. An
// error is the last thing it yields. Tasks that come or go meanwhile neither repeat nor hide others. The coordinator looks at
// 50,000 tasks for a page, so a filter that few of many tasks meet costs a call for each 50,000.
func (c *Client) List(ctx context.Context, f Filter) iter.Seq2[*TaskInfo, error] {
	return func(yield func(*TaskInfo, error) bool) {
		for resp, err := range c.pages(ctx, f.request()) {
			if err != nil {
				yield(nil, AsError("list tasks", err))
				return
			}
			for _, task := range resp.GetTasks() {
				if !yield(task, nil) {
					return
				}
			}
		}
	}
}

// pages fetches page after page, short and empty ones included; req's token moves on once a page has been used.
func (c *Client) pages(ctx context.Context, req *yardmasterv1.TaskServiceListRequest) iter.Seq2[*yardmasterv1.TaskServiceListResponse, error] {
	return func(yield func(*yardmasterv1.TaskServiceListResponse, error) bool) {
		for {
			resp, err := c.tasks.List(ctx, req)
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(resp, nil) {
				return
			}
			if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
				return
			}
		}
	}
}

// Count returns how many tasks meet the filter, by walking over them: a call for each 1,000 of them or 50,000 others. A
// queue's own counts are cheaper: GetQueue. On failure it returns those counted so far. PageSize is ignored.
func (c *Client) Count(ctx context.Context, f Filter) (int, error) {
	f.PageSize = IDsMax
	n := 0
	for resp, err := range c.pages(ctx, f.request()) {
		if err != nil {
			return n, AsError("count tasks", err)
		}
		n += len(resp.GetTasks())
	}
	return n, nil
}
