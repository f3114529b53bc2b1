package observe

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/internal/resources"
)

// nodes fills in which servers are on draining nodes. A deleted node does not count as draining.
func (o *Observer) nodes(ctx context.Context, s *Snapshot) error {
	s.NodesKnown = o.Nodes
	for _, server := range s.Servers {
		if !o.Nodes || server.Pod == nil || s.Pods[server.Name].Spec.NodeName == "" {
			continue
		}
		node := &corev1.Node{}
		err := o.Reader.Get(ctx, client.ObjectKey{Name: s.Pods[server.Name].Spec.NodeName}, node)
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("reading the node of %s: %w", server.Name, err)
		}
		server.Pod.Cordoned = err == nil && resources.Cordoned(node)
	}
	return nil
}
