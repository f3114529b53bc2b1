package observe

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// leavingTaints are put on nodes by those who are about to remove them, before they evict anybody: the cluster
// autoscaler and Karpenter.
var leavingTaints = []string{"ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted"}

// Cordoned says whether a node takes no more pods because somebody wants it empty.
func Cordoned(node *corev1.Node) bool {
	return node.Spec.Unschedulable || slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
		return slices.Contains(leavingTaints, t.Key)
	})
}

// nodes looks whether the nodes of the servers are drained. A node that is gone is none of them.
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
