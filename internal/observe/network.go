package observe

import (
	"context"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// network reads who is to reach the servers. A NetworkPolicy is its own record; the status is the witness of one that somebody
// has deleted.
func (o *Observer) network(ctx context.Context, s *Snapshot) error {
	c, policy := s.Cluster, &networkingv1.NetworkPolicy{}
	err := o.Reader.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: resources.NetworkPolicyName(c.Name)}, policy)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading the NetworkPolicy: %w", err)
	}
	exists := err == nil && resources.Belongs(c, policy)
	s.Spec.Network = plan.Network{
		Asked: resources.AsksForNetworkPolicy(c), SelfKnown: o.Self.IsKnown(),
		Kept: exists || c.Status.NetworkPolicy != "" && resources.HasOwnStatus(c),
	}
	return nil
}
