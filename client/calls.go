package client

import (
	"context"
	"fmt"
	"iter"
	"slices"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// IDsMax is how many tasks one request of Cancel or Retry names; longer lists are split.
const IDsMax = 1_000

// Get returns a task, live or finished and still retained, without its payload. Errors: ErrNotRetained, ErrUnknownTask.
func (c *Client) Get(ctx context.Context, id uint64) (*TaskInfo, error) {
	return c.get(ctx, &yardmasterv1.TaskServiceGetRequest{TaskId: id})
}

// GetWithPayload is Get with the payload, if that is still held: live tasks and dead letters.
func (c *Client) GetWithPayload(ctx context.Context, id uint64) (*TaskInfo, error) {
	return c.get(ctx, &yardmasterv1.TaskServiceGetRequest{TaskId: id, IncludePayload: true})
}

func (c *Client) get(ctx context.Context, req *yardmasterv1.TaskServiceGetRequest) (*TaskInfo, error) {
	resp, err := c.tasks.Get(ctx, req)
	if err != nil {
		return nil, AsError(fmt.Sprintf("get task %d", req.GetTaskId()), err)
	}
	return resp.GetTask(), nil
}

// Filter says which tasks to list: those that meet every condition set.
type Filter struct {
	Queue    string
	Kind     string
	States   []TaskState // any of them; none: all states, finished ones included
	PageSize int         // tasks fetched at a time: 1 to 1,000; 0 means 100
}

// List returns tasks in order of id, fetching them a page at a time as the loop goes on. An error is the last thing it
// yields. Tasks that come or go meanwhile neither repeat nor hide others.
func (c *Client) List(ctx context.Context, f Filter) iter.Seq2[*TaskInfo, error] {
	return func(yield func(*TaskInfo, error) bool) {
		req := &yardmasterv1.TaskServiceListRequest{
			Queue: f.Queue, Kind: f.Kind, States: f.States, PageSize: clampUint32(f.PageSize),
		}
		for {
			resp, err := c.tasks.List(ctx, req)
			if err != nil {
				yield(nil, AsError("list tasks", err))
				return
			}
			for _, task := range resp.GetTasks() {
				if !yield(task, nil) {
					return
				}
			}
			if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
				return
			}
		}
	}
}

// Cancel asks for the end of tasks, any number of them, and returns what was done to each, in order. A task at a worker is
// cancelled there and keeps its lease until the worker has answered. On failure it returns the results so far; repeating it
// does no harm.
func (c *Client) Cancel(ctx context.Context, ids ...uint64) ([]*TaskResult, error) {
	return c.cancel(ctx, false, ids)
}

// ForceCancel is Cancel, but ends tasks at workers at once: their leases are fenced, the workers' answers not waited for.
func (c *Client) ForceCancel(ctx context.Context, ids ...uint64) ([]*TaskResult, error) {
	return c.cancel(ctx, true, ids)
}

func (c *Client) cancel(ctx context.Context, force bool, ids []uint64) ([]*TaskResult, error) {
	results := make([]*TaskResult, 0, len(ids))
	for part := range slices.Chunk(ids, IDsMax) {
		resp, err := c.tasks.Cancel(ctx, &yardmasterv1.TaskServiceCancelRequest{TaskIds: part, Force: force})
		if err != nil {
			return results, AsError("cancel "+someTasks(part), err)
		}
		results = append(results, resp.GetResults()...)
	}
	return results, nil
}

// Retry gives dead letters, any number of them, a new generation: attempts and losses start from zero, ids stay. It returns
// what was done to each, in order. A request whose answer is lost is not repeated, since by then the new generation may
// have died too, and would be retried unasked; Get tells the generation. On failure it returns the results so far.
func (c *Client) Retry(ctx context.Context, ids ...uint64) ([]*TaskResult, error) {
	results := make([]*TaskResult, 0, len(ids))
	for part := range slices.Chunk(ids, IDsMax) {
		resp, err := c.tasks.Retry(ctx, &yardmasterv1.RetryRequest{TaskIds: part})
		if err != nil {
			return results, AsError("retry "+someTasks(part), err)
		}
		results = append(results, resp.GetResults()...)
	}
	return results, nil
}

// Explain says why a task is where it is.
func (c *Client) Explain(ctx context.Context, id uint64) (*Explanation, error) {
	resp, err := c.tasks.Explain(ctx, &yardmasterv1.TaskServiceExplainRequest{TaskId: id})
	if err != nil {
		return nil, AsError(fmt.Sprintf("explain task %d", id), err)
	}
	return resp, nil
}

func someTasks(ids []uint64) string {
	if len(ids) == 1 {
		return fmt.Sprintf("task %d", ids[0])
	}
	return fmt.Sprintf("%d tasks", len(ids))
}
