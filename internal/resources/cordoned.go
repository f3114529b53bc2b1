package resources

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
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
