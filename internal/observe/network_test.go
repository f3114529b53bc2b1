package observe_test

import (
	"testing"

	. "github.com/onsi/gomega"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// A new cluster is closed, and whatever is there already stays as it is (I6).
func TestNewClustersAreClosed(t *testing.T) {
	founded := func(w *world) { w.claims, w.pods, w.cluster.Annotations = nil, nil, nil }
	for name, test := range map[string]struct {
		change func(w *world)
		self   resources.Self
		fate   plan.PolicyFate
	}{
		"a new one":                        {founded, inPods, plan.KeepPolicy},
		"a running one":                    {func(*world) {}, inPods, plan.LeavePolicy},
		"one that was not reached so far":  {func(w *world) { w.cluster.Annotations = nil }, inPods, plan.LeavePolicy},
		"a closed one":                     {policed(true), inPods, plan.KeepPolicy},
		"one beside a policy of another's": {policed(false), inPods, plan.LeavePolicy},
		"one whose policy was deleted": {func(w *world) {
			w.cluster.Status.NetworkPolicy = "consul-server"
		}, inPods, plan.KeepPolicy},
		"one that is asked": {func(w *world) { w.cluster.Spec.NetworkPolicy.Enabled = new(true) }, inPods, plan.KeepPolicy},
		"a new one that is asked not to be": {func(w *world) {
			founded(w)
			w.cluster.Spec.NetworkPolicy.Enabled = new(false)
		}, inPods, plan.DeletePolicy},
		"a new one of an operator that runs elsewhere": {founded, resources.Self{}, plan.LeavePolicy},
		"one with the status of another": {func(w *world) {
			w.cluster.Status.NetworkPolicy = "consul-server"
			w.cluster.Status.Servers = []v1alpha1.ServerStatus{{Name: "consul-0", ID: "another"}}
		}, inPods, plan.LeavePolicy},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			test.change(w)
			observer := w.observer()
			observer.Self = test.self
			s, err := observer.Observe(t.Context(), w.cluster)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(s.NetworkPolicy()).To(Equal(test.fate))
		})
	}
}

// policed is a cluster whose NetworkPolicy is there, or whose name somebody else has.
func policed(ours bool) func(w *world) {
	return func(w *world) {
		policy := resources.NetworkPolicy(w.cluster, inPods)
		if !ours {
			policy.OwnerReferences, policy.Labels = nil, nil
		}
		w.others = append(w.others, policy)
	}
}

func TestPeersAreChecked(t *testing.T) {
	w := newWorld(t)
	w.cluster.Spec.NetworkPolicy.Clients = v1alpha1.Peers{{IPBlock: &networkingv1.IPBlock{CIDR: "x"}}}
	w.Expect(w.look().Spec.Invalid.Message).To(HavePrefix("spec.networkPolicy.clients[0].ipBlock.cidr: "))
}

var inPods = resources.Self{Namespace: "operators", Labels: map[string]string{"app": "consul-operator"}}
