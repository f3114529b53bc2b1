package execute_test

import (
	"testing"

	. "github.com/onsi/gomega"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/execute"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func TestTheNetworkPolicy(t *testing.T) {
	w := newWorld(t)
	w.seen.Spec.Revision = resources.Revision(w.seen.Cluster)
	wanted := func() networkingv1.NetworkPolicySpec {
		return resources.NetworkPolicy(w.seen.Cluster, w.executor.Self).Spec
	}
	policy := &networkingv1.NetworkPolicy{}
	policy.Name, policy.Namespace = "consul-server", "default"
	w.carryOut(t, plan.Decision{})
	live := w.read(t, policy).(*networkingv1.NetworkPolicy)
	w.Expect(live.Spec).To(Equal(wanted()))

	w.carryOut(t, plan.Decision{})
	w.Expect(w.read(t, policy).GetResourceVersion()).To(Equal(live.ResourceVersion), "it is not written without need")

	live.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}} // for everybody
	w.Expect(w.client.Update(t.Context(), live)).To(Succeed())
	w.carryOut(t, plan.Decision{})
	w.Expect(w.read(t, policy).(*networkingv1.NetworkPolicy).Spec).To(Equal(wanted()), "it comes back as it was")

	w.seen.Cluster.Spec.NetworkPolicy.Clients = v1alpha1.Peers{}
	w.executor.Self.Namespace = "moved"
	w.carryOut(t, plan.Decision{})
	w.Expect(w.read(t, policy).(*networkingv1.NetworkPolicy).Spec).To(Equal(wanted()), "it follows the spec and the operator")

	w.seen.Spec.Network.SelfKnown, w.executor.Self = false, resources.Self{}
	live = w.read(t, policy).(*networkingv1.NetworkPolicy)
	w.carryOut(t, plan.Decision{})
	w.Expect(w.read(t, policy)).To(Equal(live), "an operator that runs elsewhere leaves it alone")

	w.seen.Spec.Network.Asked = new(false)
	live = w.read(t, policy).(*networkingv1.NetworkPolicy)
	w.carryOut(t, plan.Decision{})
	w.Expect(w.client.Get(t.Context(), key("consul-server"), policy)).To(MatchError(apierrors.IsNotFound, "NotFound"))
	w.Expect(w.deletes).To(HaveLen(1))
	w.Expect(*w.deletes[0].Preconditions.ResourceVersion).To(Equal(live.ResourceVersion))
	w.carryOut(t, plan.Decision{})
	w.Expect(w.deletes).To(HaveLen(1))
}

// A NetworkPolicy of somebody else is left alone, and told if it is about these servers.
func TestANetworkPolicyOfSomebodyElse(t *testing.T) {
	for what, test := range map[string]struct {
		disown func(client.Object)
		asked  *bool
		says   string
	}{
		"of no cluster, and none is wanted": {func(o client.Object) { o.SetLabels(nil); o.SetOwnerReferences(nil) }, new(false), ""},
		"of a former cluster, and none is wanted": {
			func(o client.Object) { o.SetOwnerReferences(nil); o.GetLabels()[v1alpha1.LabelClusterUID] = "former" }, new(false),
			"or create the ConsulCluster under another name",
		},
		"of no cluster, and one is wanted": {
			func(o client.Object) { o.SetLabels(nil); o.SetOwnerReferences(nil) }, new(true),
			"or set spec.networkPolicy.enabled to false",
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.seen.Spec.Network.Asked = test.asked
			theirs := resources.NetworkPolicy(w.seen.Cluster, w.executor.Self)
			test.disown(theirs)
			w.Expect(w.client.Create(t.Context(), theirs)).To(Succeed())
			_, failures, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
			w.Expect(err).NotTo(HaveOccurred())
			if test.says == "" {
				w.Expect(failures).To(BeEmpty())
			} else {
				w.Expect(failures).To(ConsistOf(HaveField("Message", HaveSuffix(test.says))))
			}
			w.Expect(w.read(t, theirs)).To(Equal(theirs))
		})
	}
}

// The first server waits for its NetworkPolicy, also where that of a former cluster is about to be deleted.
func TestNoServerBeforeItsNetworkPolicy(t *testing.T) {
	w := newWorld(t)
	former := resources.NetworkPolicy(w.seen.Cluster, w.executor.Self)
	former.OwnerReferences = controlledBy("ConsulCluster")
	w.Expect(w.client.Create(t.Context(), former)).To(Succeed())
	step := plan.Decision{Step: plan.MarkFailed{Server: "consul-1"}}
	done, failures, err := w.executor.CarryOut(t.Context(), w.seen, step)
	w.Expect(err).To(MatchError(execute.ErrStale))
	w.Expect(failures).To(BeEmpty())
	w.Expect(done).To(BeEmpty())

	w.seen.Servers = []plan.Server{{Name: "consul-0"}}
	done, _, err = w.executor.CarryOut(t.Context(), w.seen, step)
	w.Expect(err).To(MatchError(execute.ErrStale))
	w.Expect(done).To(HaveLen(1), "those that run are no worse off")
}
