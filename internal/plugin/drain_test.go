package plugin

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// fleet is four nodes in three zones, and the healthy cluster on three of them: consul-4, which leads, is on node2.
func fleet(change func(*draining, *v1alpha1.ConsulCluster)) draining {
	p := healthy(func(*picture) {})
	p.Status.Revision = "0123456789"
	d := draining{name: "node2"}
	for i, zone := range []string{"zone-a", "zone-b", "zone-c", "zone-a"} {
		name := "node" + string(rune('1'+i))
		node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			corev1.LabelHostname: name, corev1.LabelTopologyZone: zone,
		}}}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		d.nodes = append(d.nodes, node)
	}
	for i, server := range p.Status.Servers {
		pod := p.pods[server.Name]
		pod.Namespace, pod.Spec.NodeName = "default", d.nodes[i].Name
		pod.Labels = map[string]string{
			v1alpha1.LabelCluster: "consul", v1alpha1.LabelServer: server.Name, v1alpha1.LabelRevision: p.Status.Revision,
		}
		p.Status.Servers[i].Leader = server.Name == p.Status.Leader
		d.pods = append(d.pods, pod)
	}
	d.budgets = []policyv1.PodDisruptionBudget{{ObjectMeta: metav1.ObjectMeta{Name: "consul", Namespace: "default"}}}
	d.budgets[0].Spec.MinAvailable = ptr.To(intstr.FromInt32(3))
	change(&d, p.ConsulCluster)
	d.clusters = append(d.clusters, *p.ConsulCluster)
	return d
}

// single leaves one server, which leads.
func single(d *draining, c *v1alpha1.ConsulCluster) {
	c.Spec.Replicas, c.Status.Servers, d.pods = 1, c.Status.Servers[1:2], d.pods[1:2]
	d.budgets[0].Spec.MinAvailable = ptr.To(intstr.FromInt32(1))
}

// noNode cordons all other nodes.
func noNode(d *draining, _ *v1alpha1.ConsulCluster) {
	for i := range d.nodes {
		d.nodes[i].Spec.Unschedulable = d.nodes[i].Name != d.name
	}
}

func two(d *draining, _ *v1alpha1.ConsulCluster) { d.pods[2].Spec.NodeName = "node2" }

func all(changes ...func(*draining, *v1alpha1.ConsulCluster)) func(*draining, *v1alpha1.ConsulCluster) {
	return func(d *draining, c *v1alpha1.ConsulCluster) {
		for _, change := range changes {
			change(d, c)
		}
	}
}

func condition(c *v1alpha1.ConsulCluster, kind string, status metav1.ConditionStatus, why reason.Reason, message string) {
	c.Status.Conditions = append(c.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: string(why), Message: message, ObservedGeneration: c.Generation,
	})
}

func TestWhatADrainMeets(t *testing.T) {
	for name, test := range map[string]struct {
		change      func(*draining, *v1alpha1.ConsulCluster)
		needsPerson bool
	}{
		"leader":          {func(*draining, *v1alpha1.ConsulCluster) {}, false},
		"nobody":          {func(d *draining, _ *v1alpha1.ConsulCluster) { d.name = "node4" }, false},
		"two":             {two, false},
		"no-node":         {noNode, false},
		"no-node-for-two": {all(two, noNode), true},
		"single":          {single, false},
		"single-stays":    {all(single, noNode), true},
		"one-node":        {func(d *draining, _ *v1alpha1.ConsulCluster) { d.nodes = d.nodes[1:2] }, false},
		"blind":           {func(d *draining, _ *v1alpha1.ConsulCluster) { d.nodes, d.budgets, d.only = nil, nil, "default" }, false},
		"nobody-seen":     {func(d *draining, _ *v1alpha1.ConsulCluster) { d.name, d.only = "node4", "default" }, false},
		"paused":          {func(_ *draining, c *v1alpha1.ConsulCluster) { c.Spec.Paused = true }, false},
		"paused-two":      {all(two, func(_ *draining, c *v1alpha1.ConsulCluster) { c.Spec.Paused = true }), true},
		"paused-single":   {all(single, func(_ *draining, c *v1alpha1.ConsulCluster) { c.Spec.Paused = true }), true},
		"unwatched": {func(d *draining, _ *v1alpha1.ConsulCluster) {
			d.budgets[0].Spec.MinAvailable = ptr.To(intstr.FromInt32(2))
		}, false},
		"unwatched-single": {all(single, func(d *draining, _ *v1alpha1.ConsulCluster) {
			d.budgets[0].Spec.MinAvailable = ptr.To(intstr.FromInt32(0))
		}), true},
		"stalled": {func(_ *draining, c *v1alpha1.ConsulCluster) {
			c.Status.Conditions = nil
			condition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, reason.QuorumLost, lostTwo)
			condition(c, v1alpha1.ConditionStalled, metav1.ConditionTrue, reason.QuorumLost, lostTwo)
		}, true},
		"not-ready": {func(_ *draining, c *v1alpha1.ConsulCluster) {
			c.Status.Conditions = nil
			condition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, reason.WaitingForVoter, "consul-5 is not a voter yet")
		}, false},
		"several": {func(d *draining, c *v1alpha1.ConsulCluster) {
			noNode(d, c)
			other := c.DeepCopy()
			other.Name, other.Namespace, other.Spec.Replicas = "alone", "apps", 1
			other.Status.Servers = []v1alpha1.ServerStatus{{Name: "alone-0", Leader: true, Voter: true}}
			d.clusters = append(d.clusters, *other)
			pod := *d.pods[1].DeepCopy()
			pod.Name, pod.Namespace, pod.Labels[v1alpha1.LabelCluster] = "alone-0", "apps", "alone"
			d.pods = append(d.pods, pod)
			d.nodes[1].Spec.Unschedulable = true
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			text, needsPerson := fleet(test.change).foresight()
			golden(t, "drain-"+name, text)
			NewWithT(t).Expect(needsPerson).To(Equal(test.needsPerson), text)
		})
	}
}

func TestHowToDrain(t *testing.T) { golden(t, "drain-how", howToDrain("node2")) }

func TestTheLeaderGoesLast(t *testing.T) {
	d := fleet(func(d *draining, c *v1alpha1.ConsulCluster) {
		for i := range d.pods {
			d.pods[i].Spec.NodeName = "node2"
		}
		c.Status.Servers[2].Voter = false
	})
	var names []string
	for _, server := range d.leaving(&d.clusters[0]) {
		names = append(names, server.Name)
	}
	NewWithT(t).Expect(names).To(Equal([]string{"consul-5", "consul-3", "consul-4"}))
}

// strictly has no two servers in one domain.
func strictly(key string) *corev1.Affinity {
	return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelCluster: "consul"}},
		}},
	}}
}

func onlyIn(key string, operator corev1.NodeSelectorOperator, values ...string) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{}, { // the empty one matches nothing
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: operator, Values: values}},
		}},
	}}}
}

func spread(domains int32, same ...string) []corev1.TopologySpreadConstraint {
	return []corev1.TopologySpreadConstraint{{
		TopologyKey: corev1.LabelTopologyZone, MaxSkew: 1, MinDomains: &domains, WhenUnsatisfiable: corev1.DoNotSchedule,
		LabelSelector:  &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelCluster: "consul"}},
		MatchLabelKeys: same,
	}}
}

func TestWhichNodesMayTakeAServer(t *testing.T) {
	for name, test := range map[string]struct {
		change func(d *draining, t *v1alpha1.PodTemplate)
		fit    string
		unfit  map[string]int
	}{
		"any": {func(*draining, *v1alpha1.PodTemplate) {}, "node1 node3 node4", nil},
		"an autoscaler removes one": {func(d *draining, _ *v1alpha1.PodTemplate) {
			d.nodes[0].Spec.Taints = []corev1.Taint{{Key: "karpenter.sh/disrupted", Effect: corev1.TaintEffectNoSchedule}}
		}, "node3 node4", map[string]int{unfitCordoned: 1}},
		"not ready": {func(d *draining, _ *v1alpha1.PodTemplate) { d.nodes[0].Status.Conditions = nil },
			"node3 node4", map[string]int{unfitNotReady: 1}},
		"a node selector": {func(_ *draining, t *v1alpha1.PodTemplate) {
			t.NodeSelector = map[string]string{corev1.LabelTopologyZone: "zone-a"}
		}, "node1 node4", map[string]int{unfitSelector: 1}},
		"node affinity": {func(_ *draining, t *v1alpha1.PodTemplate) {
			t.Affinity = onlyIn(corev1.LabelTopologyZone, corev1.NodeSelectorOpIn, "zone-a", "zone-b")
		}, "node1 node4", map[string]int{unfitAffinity: 1}},
		"node affinity, the other way round": {func(_ *draining, t *v1alpha1.PodTemplate) {
			t.Affinity = onlyIn(corev1.LabelTopologyZone, corev1.NodeSelectorOpNotIn, "zone-a", "zone-b")
		}, "node3", map[string]int{unfitAffinity: 2}},
		"a taint": {func(d *draining, _ *v1alpha1.PodTemplate) {
			d.nodes[2].Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "db", Effect: corev1.TaintEffectNoSchedule}}
		}, "node1 node4", map[string]int{unfitTaint: 1}},
		"a taint that is tolerated, and one that is a wish": {func(d *draining, t *v1alpha1.PodTemplate) {
			d.nodes[2].Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "db", Effect: corev1.TaintEffectNoSchedule}}
			d.nodes[3].Spec.Taints = []corev1.Taint{{Key: "slow", Effect: corev1.TaintEffectPreferNoSchedule}}
			t.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
		}, "node1 node3 node4", nil},
		"a node for each": {func(_ *draining, t *v1alpha1.PodTemplate) { t.Affinity = strictly(corev1.LabelHostname) },
			"node4", map[string]int{unfitApart: 2}},
		"a zone for each: also of the one that goes": {func(_ *draining, t *v1alpha1.PodTemplate) {
			t.Affinity = strictly(corev1.LabelTopologyZone)
		}, "", map[string]int{unfitApart: 3}},
		"spread over the zones that there are": {func(_ *draining, t *v1alpha1.PodTemplate) {
			t.TopologySpreadConstraints = spread(3)
		}, "node1 node3 node4", nil},
		"spread over the zones, of which one has more": {func(d *draining, t *v1alpha1.PodTemplate) {
			t.TopologySpreadConstraints = spread(3)
			d.pods[2].Spec.NodeName = "node4"
		}, "node3", map[string]int{unfitSpread: 2}},
		"spread over more zones than there are": {func(_ *draining, t *v1alpha1.PodTemplate) {
			t.TopologySpreadConstraints = spread(4)
		}, "", map[string]int{unfitSpread: 3}},
		"spread, each revision by itself": {func(d *draining, t *v1alpha1.PodTemplate) {
			t.TopologySpreadConstraints = spread(4, v1alpha1.LabelRevision)
			for i := range d.pods {
				d.pods[i].Labels[v1alpha1.LabelRevision] = "older"
			}
		}, "node1 node3 node4", nil},
		"a wish to be spread": {func(_ *draining, t *v1alpha1.PodTemplate) {
			t.TopologySpreadConstraints = spread(9)
			t.TopologySpreadConstraints[0].WhenUnsatisfiable = corev1.ScheduleAnyway
		}, "node1 node3 node4", nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			d := fleet(func(d *draining, c *v1alpha1.ConsulCluster) { test.change(d, &c.Spec.PodTemplate) })
			fit, unfit := d.fitting(&d.clusters[0])
			g.Expect(strings.Join(fit, " ")).To(Equal(test.fit))
			if test.unfit == nil {
				test.unfit = map[string]int{}
			}
			g.Expect(unfit).To(Equal(test.unfit))
		})
	}
}
