package client

import (
	"context"
	"fmt"
	"slices"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// IDsMax is how many tasks one request of Cancel, Retry or Delete names; longer lists are split.
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

// Delete removes finished tasks, any number of them, before their retention is over, with their outcomes and attempts, and
// returns what was done to each, in order; live tasks stay (CODE_NOT_TERMINAL). On failure it returns the results so far.
// Repeating it does no harm: what is gone already is CODE_NOT_FOUND, also where a lost answer's request deleted it.
func (c *Client) Delete(ctx context.Context, ids ...uint64) ([]*TaskResult, error) {
	results := make([]*TaskResult, 0, len(ids))
	for part := range slices.Chunk(ids, IDsMax) {
		resp, err := c.tasks.Delete(ctx, &yardmasterv1.TaskServiceDeleteRequest{TaskIds: part})
		if err != nil {
			return results, AsError("delete "+someTasks(part), err)
		}
		results = append(results, resp.GetResults()...)
	}
	return results, nil
}

// Timeline is what happened to a task: the task, and its last 10 attempts that were charged, oldest first.
type Timeline = yardmasterv1.TimelineResponse

// Timeline returns what happened to a task. Errors: ErrNotRetained, ErrUnknownTask.
func (c *Client) Timeline(ctx context.Context, id uint64) (*Timeline, error) {
	resp, err := c.tasks.Timeline(ctx, &yardmasterv1.TimelineRequest{TaskId: id})
	if err != nil {
		return nil, AsError(fmt.Sprintf("tell the timeline of task %d", id), err)
	}
	return resp, nil
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
