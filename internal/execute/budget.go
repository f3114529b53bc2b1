package execute

import (
	"context"

	policyv1 "k8s.io/api/policy/v1"

	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func (e *Executor) allowEviction(ctx context.Context, s *observe.Snapshot) (Outcome, error) {
	return Outcome{Event: "one server at a time may be evicted"},
		e.setBudget(ctx, s, resources.OpenDisruptionBudget(s.Cluster))
}

func (e *Executor) forbidEviction(ctx context.Context, s *observe.Snapshot) (Outcome, error) {
	return Outcome{}, e.setBudget(ctx, s, resources.DisruptionBudget(s.Cluster))
}

// setBudget opens or closes the disruption budget as it was observed. One that was not there is created by Sync first.
func (e *Executor) setBudget(ctx context.Context, s *observe.Snapshot, wanted *policyv1.PodDisruptionBudget) error {
	if s.Budget == nil {
		return nil
	}
	changed := s.Budget.DeepCopy()
	changed.Spec = wanted.Spec
	return e.Client.Update(ctx, changed)
}
