package execute

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// beginAdoption records whose volumes are taken over, whose ids their servers have, and that the cluster exists.
func (e *Executor) beginAdoption(ctx context.Context, s *observe.Snapshot, a plan.BeginAdoption) (Outcome, error) {
	event := fmt.Sprintf("takes over the volumes of the former ConsulCluster with the UID %s", a.Of)
	return e.record(ctx, s, event, func(o client.Object) {
		annotate(v1alpha1.AnnotationAdopting, a.Of)(o)
		annotate(v1alpha1.AnnotationIdentity, a.Identity)(o)
		annotate(v1alpha1.AnnotationBootstrapped, e.timestamp())(o)
		annotate(v1alpha1.AnnotationGossip, s.Spec.Gossip.Phase.String())(o) // also if it is off: there may be a former key on them
	})
}

// adoptVolume makes a claim one of a server of this cluster. What the former cluster was about to do with it is over.
func (e *Executor) adoptVolume(ctx context.Context, s *observe.Snapshot, a plan.AdoptVolume) (Outcome, error) {
	claim := s.Left[a.Server]
	if claim == nil {
		return Outcome{}, fmt.Errorf("%w: volume claim %s is gone", ErrStale, a.Server)
	}
	identity := string(resources.IdentityOf(claim))
	err := e.patch(ctx, claim, func(o client.Object) {
		o.SetLabels(overlay(o.GetLabels(), resources.Labels(s.Cluster)))
		unannotate(v1alpha1.AnnotationBootstrapExpect, v1alpha1.AnnotationRetiring, v1alpha1.AnnotationInPlace,
			v1alpha1.AnnotationFailed)(o)
		annotate(v1alpha1.AnnotationRevision, s.Spec.Revision)(o)
		annotate(v1alpha1.AnnotationIdentity, identity)(o)
		o.SetOwnerReferences(slices.DeleteFunc(o.GetOwnerReferences(), func(owner metav1.OwnerReference) bool {
			return owner.Kind == "ConsulCluster" && owner.UID != s.Cluster.UID // garbage collection would delete it
		}))
		resources.OwnClaim(s.Cluster, o.(*corev1.PersistentVolumeClaim))
	})
	return Outcome{Event: "took over the volume of " + a.Server}, err
}
