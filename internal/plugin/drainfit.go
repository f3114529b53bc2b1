package plugin

import (
	"math"
	"slices"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// Why a node takes no server, as far as that can be told. What the scheduler alone knows (room, volumes, ports, other pods) is
// not asked.
const (
	unfitCordoned = "cordoned"
	unfitNotReady = "not ready"
	unfitSelector = "without the labels of podTemplate.nodeSelector"
	unfitAffinity = "excluded by podTemplate.affinity.nodeAffinity"
	unfitTaint    = "with a taint that servers do not tolerate"
	unfitApart    = "excluded by podTemplate.affinity.podAntiAffinity"
	unfitSpread   = "excluded by podTemplate.topologySpreadConstraints"
)

// unfits is the order in which reasons are told.
var unfits = []string{unfitCordoned, unfitNotReady, unfitSelector, unfitAffinity, unfitTaint, unfitApart, unfitSpread}

// whyUnfit says why a node takes no further server of a cluster; empty if nothing that can be told is against it.
func (d draining) whyUnfit(c *v1alpha1.ConsulCluster, node corev1.Node) string {
	switch {
	case resources.Cordoned(&node):
		return unfitCordoned
	case !isNodeReady(node):
		return unfitNotReady
	case !hasSelected(c, node):
		return unfitSelector
	case !isAffine(c, node):
		return unfitAffinity
	case isRepelled(c, node):
		return unfitTaint
	case d.isTooClose(c, node):
		return unfitApart
	case slices.ContainsFunc(c.Spec.PodTemplate.TopologySpreadConstraints, func(t corev1.TopologySpreadConstraint) bool {
		return t.WhenUnsatisfiable == corev1.DoNotSchedule && d.breaks(c, t, node)
	}):
		return unfitSpread
	}
	return ""
}

func isNodeReady(node corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func hasSelected(c *v1alpha1.ConsulCluster, node corev1.Node) bool {
	return labels.SelectorFromSet(c.Spec.PodTemplate.NodeSelector).Matches(labels.Set(node.Labels))
}

// isAffine reports whether a node fits one of the terms of the required node affinity, if there is one.
func isAffine(c *v1alpha1.ConsulCluster, node corev1.Node) bool {
	affinity := c.Spec.PodTemplate.Affinity
	if affinity == nil || affinity.NodeAffinity == nil {
		return true
	}
	required := affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	return required == nil || slices.ContainsFunc(required.NodeSelectorTerms, func(term corev1.NodeSelectorTerm) bool {
		return len(term.MatchExpressions)+len(term.MatchFields) > 0 && // an empty term matches no node
			fitsAll(term.MatchExpressions, node.Labels) &&
			fitsAll(term.MatchFields, map[string]string{metav1.ObjectNameField: node.Name})
	})
}

var operators = map[corev1.NodeSelectorOperator]selection.Operator{
	corev1.NodeSelectorOpIn: selection.In, corev1.NodeSelectorOpNotIn: selection.NotIn,
	corev1.NodeSelectorOpExists: selection.Exists, corev1.NodeSelectorOpDoesNotExist: selection.DoesNotExist,
	corev1.NodeSelectorOpGt: selection.GreaterThan, corev1.NodeSelectorOpLt: selection.LessThan,
}

func fitsAll(requirements []corev1.NodeSelectorRequirement, values map[string]string) bool {
	return !slices.ContainsFunc(requirements, func(r corev1.NodeSelectorRequirement) bool {
		requirement, err := labels.NewRequirement(r.Key, operators[r.Operator], r.Values)
		return err != nil || !requirement.Matches(labels.Set(values))
	})
}

// isRepelled reports whether a node has a taint that keeps servers away.
func isRepelled(c *v1alpha1.ConsulCluster, node corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(taint corev1.Taint) bool {
		if taint.Effect == corev1.TaintEffectPreferNoSchedule {
			return false
		}
		return !slices.ContainsFunc(c.Spec.PodTemplate.Tolerations, func(t corev1.Toleration) bool {
			return t.ToleratesTaint(logr.Discard(), &taint, true)
		})
	})
}

// isTooClose reports whether a required anti-affinity keeps a further server away from a node because of other servers. Those
// of the node that is drained count: they stay until the other one is there.
func (d draining) isTooClose(c *v1alpha1.ConsulCluster, node corev1.Node) bool {
	affinity := c.Spec.PodTemplate.Affinity
	if affinity == nil || affinity.PodAntiAffinity == nil {
		return false
	}
	terms := affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	return slices.ContainsFunc(terms, func(term corev1.PodAffinityTerm) bool {
		domain, has := node.Labels[term.TopologyKey]
		return has && d.perDomain(c, term.TopologyKey, term.LabelSelector, term.MatchLabelKeys)[domain] > 0
	})
}

// breaks reports whether a further server on a node would break a strict topology spread constraint.
func (d draining) breaks(c *v1alpha1.ConsulCluster, t corev1.TopologySpreadConstraint, node corev1.Node) bool {
	domain, has := node.Labels[t.TopologyKey]
	if !has {
		return true
	}
	counts := d.perDomain(c, t.TopologyKey, t.LabelSelector, t.MatchLabelKeys)
	domains, least := map[string]bool{}, math.MaxInt
	for _, other := range d.nodes {
		if where, has := other.Labels[t.TopologyKey]; has && hasSelected(c, other) && isAffine(c, other) {
			domains[where], least = true, min(least, counts[where])
		}
	}
	if t.MinDomains != nil && len(domains) < int(*t.MinDomains) {
		least = 0
	}
	return counts[domain]+1-least > int(t.MaxSkew)
}

// perDomain is how many servers of a cluster run in each domain, of those that a rule of their pods is about.
func (d draining) perDomain(c *v1alpha1.ConsulCluster, key string, of *metav1.LabelSelector, same []string) map[string]int {
	counts := map[string]int{}
	selector, err := metav1.LabelSelectorAsSelector(of)
	if err != nil {
		return counts
	}
	for _, pod := range d.podsOf(c) {
		i := slices.IndexFunc(d.nodes, func(n corev1.Node) bool { return n.Name == pod.Spec.NodeName })
		isOther := slices.ContainsFunc(same, func(label string) bool {
			return label == v1alpha1.LabelRevision && pod.Labels[label] != c.Status.Revision // all else they have in common
		})
		if i < 0 || isOther || pod.DeletionTimestamp != nil || !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		if domain, has := d.nodes[i].Labels[key]; has {
			counts[domain]++
		}
	}
	return counts
}
