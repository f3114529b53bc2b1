package execute

import (
	"context"
	"fmt"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// The records of a cluster are annotations of its ConsulCluster.

func (e *Executor) recordBootstrapped(ctx context.Context, s *observe.Snapshot) (Outcome, error) {
	err := e.patch(ctx, s.Cluster, annotate(v1alpha1.AnnotationBootstrapped, e.timestamp()))
	return Outcome{Event: fmt.Sprintf("%s was elected as the first leader", s.Raft.Leader)}, err
}

func (e *Executor) nameTransferTarget(ctx context.Context, s *observe.Snapshot, a plan.NameTransferTarget) (Outcome, error) {
	return Outcome{}, e.patch(ctx, s.Cluster, annotate(v1alpha1.AnnotationTransferLeadership, a.To))
}

func (e *Executor) finishTransfer(ctx context.Context, s *observe.Snapshot, a plan.FinishTransfer) (Outcome, error) {
	return Outcome{Event: a.Because}, e.patch(ctx, s.Cluster, unannotate(v1alpha1.AnnotationTransferLeadership))
}

func (e *Executor) cancelRecovery(ctx context.Context, s *observe.Snapshot, a plan.CancelRecovery) (Outcome, error) {
	return Outcome{Event: a.Because}, e.patch(ctx, s.Cluster, unannotate(v1alpha1.AnnotationRecovery))
}

func (e *Executor) finishRecovery(ctx context.Context, s *observe.Snapshot, a plan.FinishRecovery) (Outcome, error) {
	return Outcome{Event: a.Because},
		e.patch(ctx, s.Cluster, unannotate(v1alpha1.AnnotationRecovery, v1alpha1.AnnotationAcceptLoss))
}
