package observe

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// leavingTaints are the taints that the cluster autoscaler, Karpenter and Karpenter before 1.0 put on a node that they are about
// to remove, before they evict its pods. DeletionCandidateOfClusterAutoscaler is none of them: the autoscaler takes it off
// again as soon as a pod is there that it cannot evict, and new servers would be replaced because of where they started.
var leavingTaints = []string{"ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "karpenter.sh/disruption"}

// Cordoned reports whether a node accepts no more pods because it is being emptied.
func Cordoned(node *corev1.Node) bool {
	return node.Spec.Unschedulable || slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
		return slices.Contains(leavingTaints, t.Key)
	})
}

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
		server.Pod.Cordoned = err == nil && Cordoned(node)
	}
	return nil
}
