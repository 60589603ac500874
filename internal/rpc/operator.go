package rpc

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// WorkerLeasesMax is how many leases GetWorker shows of a session.
const WorkerLeasesMax = 1000

// operatorService is OperatorService.
type operatorService struct {
	yardmasterv1.UnimplementedOperatorServiceServer
	s *Server
}

// Status shows the coordinator.
func (o *operatorService) Status(_ context.Context, req *yardmasterv1.OperatorServiceStatusRequest) (*yardmasterv1.OperatorServiceStatusResponse, error) {
	x := o.s.engine.Status()
	res := &yardmasterv1.OperatorServiceStatusResponse{
		Version: o.s.opts.Version, StartTime: timestamppb.New(o.s.opts.StartTime), LogTime: at(x.Now), Term: x.Term,
		AppliedIndex: x.AppliedIndex, CheckpointIndex: x.CheckpointIndex, Queues: uint32(x.Counts.Queues),
		Sessions: uint32(x.Counts.Sessions), Attached: uint32(x.Counts.Attached), Scheduled: x.Counts.Scheduled,
		Pending: x.Counts.Pending, Leased: x.Counts.Leased, Dead: x.Counts.Dead, MaxTasks: x.Limits.MaxTasks,
		StoreBytes: x.StoreBytes, DiskFreeBytes: x.DiskFree, LogicVersion: x.Logic, LastPosition: x.LastPosition,
		Totals: &yardmasterv1.Totals{
			Submitted: x.Totals.Submitted, Granted: x.Totals.Granted, Succeeded: x.Totals.Succeeded,
			FailedAttempts: x.Totals.FailedAttempts, Dead: x.Totals.Dead, Cancelled: x.Totals.Cancelled, Expired: x.Totals.Expired,
			RejectedOutcomes: x.Totals.RejectedOutcomes, Returned: x.Totals.Returned,
		},
	}
	if req.GetIncludeHash() {
		res.StateHash = fmt.Sprintf("%016x", o.s.engine.Hash())
	}
	return res, nil
}

// ListWorkers returns a page of sessions.
func (o *operatorService) ListWorkers(_ context.Context, req *yardmasterv1.ListWorkersRequest) (*yardmasterv1.ListWorkersResponse, error) {
	var v violations
	size := int(v.number("page_size", req.GetPageSize(), PageSizeMax, PageSizeDefault))
	name, id, ok := workerToken(req.GetPageToken())
	if !ok {
		v.add("page_token", "want the next_page_token of the page before, got %s: start again without one", quote(req.GetPageToken()))
	}
	if v.any() {
		return nil, v.err()
	}
	res := &yardmasterv1.ListWorkersResponse{}
	sessions, bytes := o.s.engine.Sessions(), 0
	for i := range sessions {
		x := &sessions[i]
		if x.Worker.Name < name || x.Worker.Name == name && x.ID <= id {
			continue
		}
		w := o.worker(x)
		bytes += proto.Size(w)
		if n := len(res.Workers); n == size || n > 0 && bytes > ResponseBytesMax {
			last := res.Workers[n-1]
			res.NextPageToken = last.GetName() + "/" + strconv.FormatUint(last.GetSessionId(), 10)
			break
		}
		res.Workers = append(res.Workers, w)
	}
	return res, nil
}

// workerToken takes a page token apart: the last page's last worker.
func workerToken(token string) (name string, id scheduler.SessionID, ok bool) {
	if token == "" {
		return "", 0, true
	}
	name, rest, found := strings.Cut(token, "/")
	n, err := strconv.ParseUint(rest, 10, 64)
	return name, scheduler.SessionID(n), found && err == nil && scheduler.ValidName(name)
}

// GetWorker returns the sessions of one name with their leases.
func (o *operatorService) GetWorker(_ context.Context, req *yardmasterv1.GetWorkerRequest) (*yardmasterv1.GetWorkerResponse, error) {
	var v violations
	if v.name("name", req.GetName()); v.any() {
		return nil, v.err()
	}
	res := &yardmasterv1.GetWorkerResponse{}
	sessions := o.s.engine.Sessions()
	for i := range sessions {
		x := &sessions[i]
		if x.Worker.Name != req.GetName() {
			continue
		}
		d := &yardmasterv1.WorkerDetail{Worker: o.worker(x)}
		for _, l := range o.s.engine.SessionLeases(x.ID, WorkerLeasesMax) {
			d.Leases = append(d.Leases, &yardmasterv1.WorkerLease{
				Token: uint64(l.Token), TaskId: uint64(l.Task), Kind: l.Kind, GrantTime: at(l.Granted), Revoked: l.Revoked,
				Started: o.s.registry.started(x.ID, l.Token),
			})
		}
		res.Sessions = append(res.Sessions, d)
	}
	if len(res.Sessions) == 0 {
		return nil, refuse(codes.NotFound, ReasonUnknownWorker, 0, "no worker "+quote(req.GetName())+" is registered: yardctl worker list shows those that are")
	}
	return res, nil
}

// worker shows a session: what the log says of it, and what this leader knows beside.
func (o *operatorService) worker(x *scheduler.SessionInfo) *yardmasterv1.Worker {
	w := &yardmasterv1.Worker{
		Name: x.Worker.Name, SessionId: uint64(x.ID), State: workerState(x), Kinds: x.Worker.Kinds, Queues: x.Worker.Queues,
		Labels: labelMap(x.Worker.Labels), Leases: uint32(x.Leases), OpenTime: at(x.Opened),
	}
	for i := range x.Pools {
		p := &x.Pools[i]
		w.Pools = append(w.Pools, &yardmasterv1.WorkerPool{
			Name: p.Name, Slots: uint32(p.Slots), Used: uint32(max(0, p.Used)), Kinds: p.Kinds,
			Prefetch: uint32(p.Prefetch),
		})
	}
	if soft, ok := o.s.registry.soft(x.ID); ok && x.HeardThisTerm {
		w.LastHeard, w.RemoteAddress, w.ProtocolVersion = durationpb.New(soft.heard), soft.remote, soft.version
	}
	return w
}

func workerState(x *scheduler.SessionInfo) yardmasterv1.Worker_State {
	switch {
	case x.Superseded:
		return yardmasterv1.Worker_STATE_SUPERSEDED
	case x.Draining:
		return yardmasterv1.Worker_STATE_DRAINING
	case x.Attached:
		return yardmasterv1.Worker_STATE_ATTACHED
	}
	return yardmasterv1.Worker_STATE_DETACHED
}
