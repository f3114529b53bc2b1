// Package execute carries out what was planned: one effect for each action. Every effect is safe to repeat, and
// refuses to act on a picture that is out of date: writes carry the resourceVersion they were planned from, deletes
// carry UID and resourceVersion, and what changes the membership first compares the servers with the API server's own
// list, because a cache may lag behind the operator's own writes.
package execute

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// ErrStale means that the picture is out of date: nothing was done, look again.
var ErrStale = errors.New("the picture is out of date")

// Executor carries out actions.
type Executor struct {
	Client client.Client
	// Live reads past the cache.
	Live client.Reader
	Dial consul.Dialer
	Now  func() time.Time
}

// Outcome is what a person would want to know of an action that was carried out.
type Outcome struct {
	// Event says it in a sentence; empty if it is not worth one.
	Event string
	// Handoff is set when leadership was handed over.
	Handoff *Handoff
}

// Handoff is a transfer of leadership that was seen to succeed.
type Handoff struct {
	From, To string
	Took     time.Duration
}

// Do carries out one action. It returns ErrStale, possibly wrapped, if the action has to be planned anew.
func (e *Executor) Do(ctx context.Context, s *observe.Snapshot, action plan.Action) (Outcome, error) {
	outcome, err := e.dispatch(ctx, s, action)
	if apierrors.IsConflict(err) {
		err = fmt.Errorf("%w: %w", ErrStale, err)
	}
	if err != nil {
		return Outcome{}, fmt.Errorf("%T%+v: %w", action, action, err)
	}
	return outcome, nil
}

func (e *Executor) dispatch(ctx context.Context, s *observe.Snapshot, action plan.Action) (Outcome, error) {
	switch a := action.(type) {
	case plan.CreatePod, plan.DeletePod, plan.DeleteOrphan, plan.StartServing, plan.StopServing:
		return e.pod(ctx, s, action)
	case plan.TransferLeadership, plan.Leave, plan.ForceLeave, plan.RemovePeer, plan.SetMinQuorum:
		return e.consul(ctx, s, action)
	case plan.AllowEviction:
		return Outcome{Event: "one server at a time may be evicted"},
			e.setBudget(ctx, s, resources.OpenDisruptionBudget(s.Cluster))
	case plan.ForbidEviction:
		return Outcome{}, e.setBudget(ctx, s, resources.DisruptionBudget(s.Cluster))
	case plan.RecordBootstrapped, plan.NameTransferTarget, plan.FinishTransfer, plan.CancelRecovery, plan.FinishRecovery:
		return e.record(ctx, s, action)
	case plan.BeginRecovery:
		return e.beginRecovery(ctx, s, a)
	}
	return e.server(ctx, s, action)
}

// server creates a server, marks it, or lets its claim go.
func (e *Executor) server(ctx context.Context, s *observe.Snapshot, action plan.Action) (Outcome, error) {
	switch a := action.(type) {
	case plan.CreateServer:
		return e.createServer(ctx, s, a)
	case plan.MarkFailed:
		return e.markFailed(ctx, s, a)
	case plan.MarkRetiring:
		return e.markRetiring(ctx, s, a)
	case plan.UnmarkRetiring:
		return e.unmarkRetiring(ctx, s, a)
	case plan.SetRevision:
		return e.setRevision(ctx, s, a)
	case plan.ReleaseClaim:
		return e.releaseClaim(ctx, s, a)
	case plan.QuarantineClaim:
		return e.quarantineClaim(ctx, s, a)
	}
	return Outcome{}, fmt.Errorf("no effect for this action")
}
