package localcluster

import (
	"slices"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// unfit says why a pod cannot go to a node, in the words of kube-scheduler; empty when it can.
func unfit(pod *corev1.Pod, node *corev1.Node, nodes []*corev1.Node, byNode map[string][]*corev1.Pod) string {
	switch {
	case node.Spec.Unschedulable:
		return "node(s) were unschedulable"
	case !tolerated(pod, node):
		return "node(s) had untolerated taint(s)"
	case !nodeMatches(pod, node):
		return "node(s) didn't match Pod's node affinity/selector"
	case !roomFor(pod, node, byNode[node.Name]):
		return "Insufficient cpu or memory"
	case antiAffine(pod, node, nodes, byNode):
		return "node(s) didn't match pod anti-affinity rules"
	}
	return ""
}

func tolerated(pod *corev1.Pod, node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Effect == corev1.TaintEffectPreferNoSchedule {
			continue
		}
		if !slices.ContainsFunc(pod.Spec.Tolerations, func(t corev1.Toleration) bool {
			return t.ToleratesTaint(logr.Discard(), &taint, false)
		}) {
			return false
		}
	}
	return true
}

func nodeMatches(pod *corev1.Pod, node *corev1.Node) bool {
	if !labels.SelectorFromSet(pod.Spec.NodeSelector).Matches(labels.Set(node.Labels)) {
		return false
	}
	affinity := pod.Spec.Affinity
	if affinity == nil || affinity.NodeAffinity == nil ||
		affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	terms := affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	return slices.ContainsFunc(terms, func(term corev1.NodeSelectorTerm) bool {
		return matchesAll(term.MatchExpressions, labels.Set(node.Labels)) &&
			matchesAll(term.MatchFields, labels.Set{metav1.ObjectNameField: node.Name})
	})
}

var nodeSelectorOperators = map[corev1.NodeSelectorOperator]selection.Operator{
	corev1.NodeSelectorOpIn:           selection.In,
	corev1.NodeSelectorOpNotIn:        selection.NotIn,
	corev1.NodeSelectorOpExists:       selection.Exists,
	corev1.NodeSelectorOpDoesNotExist: selection.DoesNotExist,
	corev1.NodeSelectorOpGt:           selection.GreaterThan,
	corev1.NodeSelectorOpLt:           selection.LessThan,
}

func matchesAll(requirements []corev1.NodeSelectorRequirement, set labels.Set) bool {
	for _, r := range requirements {
		requirement, err := labels.NewRequirement(r.Key, nodeSelectorOperators[r.Operator], r.Values)
		if err != nil || !requirement.Matches(set) {
			return false
		}
	}
	return true
}

func roomFor(pod *corev1.Pod, node *corev1.Node, placed []*corev1.Pod) bool {
	if limit := node.Status.Allocatable.Pods(); int64(len(placed)) >= limit.Value() {
		return false
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		sum := requested(pod, name)
		for _, other := range placed {
			sum.Add(requested(other, name))
		}
		if sum.Cmp(node.Status.Allocatable[name]) > 0 {
			return false
		}
	}
	return true
}

func requested(pod *corev1.Pod, name corev1.ResourceName) resource.Quantity {
	var sum resource.Quantity
	for i := range pod.Spec.Containers {
		sum.Add(pod.Spec.Containers[i].Resources.Requests[name])
	}
	return sum
}

// antiAffine tells whether the pod, or a pod already placed, does not want the two in one topology domain.
func antiAffine(pod *corev1.Pod, node *corev1.Node, nodes []*corev1.Node, byNode map[string][]*corev1.Pod) bool {
	for _, other := range nodes {
		sameDomain := func(a, b *corev1.Pod) bool {
			return slices.ContainsFunc(antiAffinityTerms(a), func(term corev1.PodAffinityTerm) bool {
				domain, ok := node.Labels[term.TopologyKey]
				return ok && domain == other.Labels[term.TopologyKey] && termSelects(&term, a, b)
			})
		}
		for _, placed := range byNode[other.Name] {
			if sameDomain(pod, placed) || sameDomain(placed, pod) {
				return true
			}
		}
	}
	return false
}

func antiAffinityTerms(pod *corev1.Pod) []corev1.PodAffinityTerm {
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.PodAntiAffinity == nil {
		return nil
	}
	return pod.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
}

func termSelects(term *corev1.PodAffinityTerm, owner, other *corev1.Pod) bool {
	if other.Namespace != owner.Namespace && !slices.Contains(term.Namespaces, other.Namespace) {
		return false
	}
	selector, err := metav1.LabelSelectorAsSelector(term.LabelSelector)
	return err == nil && selector.Matches(labels.Set(other.Labels))
}
