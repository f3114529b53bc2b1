package execute

import (
	"context"
	"errors"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// networkPolicy keeps the NetworkPolicy of the servers, or deletes it.
func (e *Executor) networkPolicy(ctx context.Context, s *observe.Snapshot) (err error) {
	wanted, live := resources.NetworkPolicy(s.Cluster, e.Self), &networkingv1.NetworkPolicy{}
	switch s.NetworkPolicy() {
	case plan.KeepPolicy:
		err = e.ensure(ctx, s.Cluster, wanted, live, func() { live.Spec = wanted.Spec })
	case plan.DeletePolicy:
		err = e.dropNetworkPolicy(ctx, s.Cluster, client.ObjectKeyFromObject(wanted))
	case plan.LeavePolicy:
	}
	var taken *TakenError
	if errors.As(err, &taken) && s.NetworkPolicy() == plan.KeepPolicy {
		taken.Or = ", or set spec.networkPolicy.enabled to false"
	}
	return err
}

// dropNetworkPolicy deletes the NetworkPolicy of a cluster. One that a former cluster of the same name left behind is not this
// cluster's, and selects its servers all the same.
func (e *Executor) dropNetworkPolicy(ctx context.Context, c *v1alpha1.ConsulCluster, key client.ObjectKey) error {
	live := &networkingv1.NetworkPolicy{}
	if err := e.Client.Get(ctx, key, live); err != nil {
		return client.IgnoreNotFound(err)
	}
	if live.Labels[v1alpha1.LabelCluster] != c.Name {
		return nil
	}
	if err := checkOwner(c, live); err != nil {
		return err
	}
	return e.delete(ctx, live)
}
