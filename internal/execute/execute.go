// Package execute carries out what was planned: one effect for each action. Every effect is safe to repeat, and refuses to
// act on a snapshot that is out of date: writes carry the resourceVersion they were planned from, deletes carry UID and
// resourceVersion, and each first compares the servers with the API server's own list, because a cache may lag behind the
// operator's own writes.
package execute

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// ErrStale means that the snapshot is out of date: nothing was done, observe again.
var ErrStale = errors.New("the snapshot is out of date")

// Executor carries out actions.
type Executor struct {
	Client client.Client
	// Live reads past the cache.
	Live client.Reader
	Dial consul.Dialer
	Now  func() time.Time
	// Self is let into the servers by their NetworkPolicy.
	Self resources.Self
}

// Outcome is what a user would want to know of an action that was carried out.
type Outcome struct {
	// Event says it in a sentence; empty if it is not worth one.
	Event string
	// Handoff is set when leadership was handed over, and the new leader was seen.
	Handoff *v1alpha1.Handoff
}

// Do carries out one action. It returns ErrStale, possibly wrapped, if the action has to be planned again: a server that retired
// a moment ago may have to stay, and the claim of an orphan may be there all the same.
func (e *Executor) Do(ctx context.Context, s *observe.Snapshot, action plan.Action) (outcome Outcome, err error) {
	if err = e.fresh(ctx, s); err == nil {
		outcome, err = e.dispatch(ctx, s, action)
	}
	if apierrors.IsConflict(err) {
		err = fmt.Errorf("%w: %w", ErrStale, err)
	}
	if err != nil {
		return Outcome{}, fmt.Errorf("%s%+v: %w", plan.NameOf(action), action, err)
	}
	return outcome, nil
}

// dispatch has a case for each action. The linter (gochecksumtype) fails on one that is missing.
func (e *Executor) dispatch( //nolint:cyclop,funlen // a table
	ctx context.Context, s *observe.Snapshot, action plan.Action,
) (Outcome, error) {
	switch a := action.(type) {
	case plan.CreateServer:
		return e.createServer(ctx, s, a)
	case plan.RecordBootstrapped:
		return e.recordBootstrapped(ctx, s)
	case plan.CreatePod:
		return e.createPod(ctx, s, a)
	case plan.DeletePod:
		return e.deletePod(ctx, s, a.Server, "")
	case plan.DeleteOrphan:
		return e.deletePod(ctx, s, a.Pod, a.Pod+" has lost its volume claim: the pod is deleted")
	case plan.SetRevision:
		return e.setRevision(ctx, s, a)
	case plan.MarkFailed:
		return e.markFailed(ctx, s, a)
	case plan.UnmarkFailed:
		return e.unmarkFailed(ctx, s, a)
	case plan.MarkRetiring:
		return e.markRetiring(ctx, s, a)
	case plan.UnmarkRetiring:
		return e.unmarkRetiring(ctx, s, a)
	case plan.StartServing:
		return e.openGate(ctx, s, a.Server)
	case plan.StopServing:
		return e.closeGate(ctx, s, a.Server)
	case plan.TransferLeadership:
		return e.transferLeadership(ctx, s, a)
	case plan.Leave:
		return e.leave(ctx, s, a)
	case plan.ForceLeave:
		return e.forceLeave(ctx, s, a)
	case plan.RemovePeer:
		return e.removePeer(ctx, s, a)
	case plan.ReleaseClaim:
		return e.releaseClaim(ctx, s, a)
	case plan.RecordVersion:
		return e.recordVersion(ctx, s, a)
	case plan.GrowVolume:
		return e.growVolume(ctx, s, a)
	case plan.QuarantineClaim:
		return e.quarantineClaim(ctx, s, a)
	case plan.SetMinAvailable:
		return e.setMinAvailable(ctx, s, a)
	case plan.SetMinQuorum:
		return e.setMinQuorum(ctx, s, a)
	case plan.SetAutopilot:
		return e.setAutopilot(ctx, s, a)
	case plan.SetGossip:
		return e.setGossip(ctx, s, a)
	case plan.SetTLS:
		return e.setTLS(ctx, s, a)
	case plan.SetACLs:
		return e.setACLs(ctx, s, a)
	case plan.MakeTokens:
		return e.makeTokens(ctx, s, a)
	case plan.GrantDNS:
		return e.grantDNS(ctx, s, a)
	case plan.Deregister:
		return e.deregister(ctx, s, a)
	case plan.BeginAdoption:
		return e.beginAdoption(ctx, s, a)
	case plan.AdoptVolume:
		return e.adoptVolume(ctx, s, a)
	case plan.EndAdoption:
		return e.record(ctx, s, "all volumes of the former cluster are taken over", unannotate(v1alpha1.AnnotationAdopting))
	case plan.BeginFounding:
		return e.record(ctx, s, "begins with a snapshot", annotate(v1alpha1.AnnotationFounding, "true"))
	case plan.EndFounding:
		return e.record(ctx, s, "", unannotate(v1alpha1.AnnotationFounding))
	case plan.AskRestore:
		return e.askRestore(ctx, s, a)
	case plan.TakeSnapshot:
		return e.takeSnapshot(ctx, s, a)
	case plan.BeginRestore:
		return e.beginRestore(ctx, s, a)
	case plan.EndRestore:
		return e.endRestore(ctx, s)
	case plan.RotateTokens:
		return e.rotateTokens(ctx, s, a)
	case plan.ReadTokens:
		return e.readTokens(ctx, s, a)
	case plan.IssueCertificate:
		return e.issueCertificate(ctx, s, a)
	case plan.ReadCertificate:
		return e.readCertificate(ctx, s, a)
	case plan.RotateAuthority:
		return e.rotateAuthority(ctx, s, a)
	case plan.RotateGossip:
		return e.rotateGossip(ctx, s, a)
	case plan.GiveSettings:
		return e.giveSettings(ctx, s, a)
	case plan.Reload:
		return e.reload(ctx, s, a)
	case plan.NameTransferTarget:
		return e.record(ctx, s, "", annotate(v1alpha1.AnnotationTransferLeadership, a.To))
	case plan.FinishTransfer:
		return e.record(ctx, s, a.Because, unannotate(v1alpha1.AnnotationTransferLeadership))
	case plan.BeginRecovery:
		return e.beginRecovery(ctx, s, a)
	case plan.CancelRecovery:
		return e.record(ctx, s, a.Because, unannotate(v1alpha1.AnnotationRecovery))
	case plan.FinishRecovery:
		return e.record(ctx, s, a.Because, unannotate(v1alpha1.AnnotationRecovery, v1alpha1.AnnotationAcceptLoss))
	}
	return Outcome{}, errors.New("this action has no effect")
}
