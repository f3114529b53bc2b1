package execute_test

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
)

const instance = "app.kubernetes.io/instance"

// withClaims adds a claim that was set aside, and lets the snapshot have all of them.
func withClaims(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	kept := claimOf(w.seen.Cluster, "consul-9")
	kept.Labels[v1alpha1.LabelRetired] = v1alpha1.RetiredFailed
	w.Expect(w.client.Create(t.Context(), kept)).To(Succeed())
	w.seen.Kept = []*corev1.PersistentVolumeClaim{kept}
	w.seen.Servers = []plan.Server{{Name: "consul-0"}, {Name: "consul-1"}}
	w.seen.Spec.Invalid = &plan.Problem{} // no revision is to be written
	return w
}

func (w *world) claim(t *testing.T, name string) *corev1.PersistentVolumeClaim {
	t.Helper()
	claim := &corev1.PersistentVolumeClaim{}
	w.Expect(w.client.Get(t.Context(), key(name), claim)).To(Succeed())
	return claim
}

// One pass makes all volumes stay, whatever else cannot be done.
func TestRetainedVolumesHaveNoOwner(t *testing.T) {
	w := withClaims(t)
	w.seen.Cluster.Spec.Storage = v1alpha1.Storage{Retention: v1alpha1.RetentionRetain, Size: resource.MustParse("2Gi")}
	for _, name := range []string{"consul-0", "consul-1"} {
		claim := w.claim(t, name)
		claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
		claim.Status.Phase = corev1.ClaimBound
		claim.OwnerReferences = append(claim.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: "x", UID: "x"})
		w.Expect(w.client.Update(t.Context(), claim)).To(Succeed())
		w.seen.Claims[name] = claim
	}
	cannot := errors.New("the class cannot grow")
	w.executor.Client = interceptor.NewClient(w.client, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			claim, is := o.(*corev1.PersistentVolumeClaim)
			if is && claim.Spec.Resources.Requests.Storage().Cmp(resource.MustParse("2Gi")) == 0 {
				return cannot
			}
			return c.Patch(ctx, o, patch, opts...)
		},
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return cannot },
	})
	_, failures, _ := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
	w.Expect(failures).To(ContainElement(HaveField("Message", ContainSubstring(cannot.Error()))))
	w.Expect(w.claim(t, "consul-0").OwnerReferences).To(ConsistOf(HaveField("Name", "x")), "others are nobody's business")
	w.Expect(w.claim(t, "consul-1").OwnerReferences).To(ConsistOf(HaveField("Name", "x")))
	w.Expect(w.claim(t, "consul-9").OwnerReferences).To(BeEmpty())
}

// A volume that was set aside is never made to go with the cluster: a person may count on it.
func TestVolumesGoWithTheCluster(t *testing.T) {
	w := withClaims(t)
	for name, claim := range map[string]*corev1.PersistentVolumeClaim{
		"consul-0": w.seen.Claims["consul-0"], "consul-9": w.seen.Kept[0],
	} {
		claim.OwnerReferences = nil
		w.Expect(w.client.Update(t.Context(), claim)).To(Succeed(), name)
	}
	w.carryOut(t, plan.Decision{})
	w.Expect(metav1.IsControlledBy(w.claim(t, "consul-0"), w.seen.Cluster)).To(BeTrue())
	w.Expect(w.claim(t, "consul-9").OwnerReferences).To(BeEmpty())
}

// Argo CD deletes what has this label, no owner and no manifest in Git.
func TestClaimsAreNoPartOfAnInstance(t *testing.T) {
	w := withClaims(t)
	for _, claim := range []*corev1.PersistentVolumeClaim{w.seen.Claims["consul-0"], w.seen.Kept[0]} {
		w.Expect(claim.Labels).NotTo(HaveKey(instance), "a new one")
		claim.Labels[instance] = "consul"
		w.Expect(w.client.Update(t.Context(), claim)).To(Succeed())
	}
	w.carryOut(t, plan.Decision{})
	w.Expect(w.claim(t, "consul-0").Labels).NotTo(HaveKey(instance), "an old one")
	w.Expect(w.claim(t, "consul-9").Labels).NotTo(HaveKey(instance))
}
