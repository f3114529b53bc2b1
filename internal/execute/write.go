package execute

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// patch changes an object as it was observed; it fails with a conflict if the object has changed since.
func (e *Executor) patch(ctx context.Context, observed client.Object, change func(client.Object)) error {
	changed := observed.DeepCopyObject().(client.Object)
	change(changed)
	return e.Client.Patch(ctx, changed, client.MergeFromWithOptions(observed, client.MergeFromWithOptimisticLock{}))
}

// patchIfNeeded is patch, and nothing if the change is none.
func (e *Executor) patchIfNeeded(ctx context.Context, observed client.Object, change func(client.Object)) error {
	changed := observed.DeepCopyObject().(client.Object)
	change(changed)
	if equality.Semantic.DeepEqual(observed, changed) {
		return nil
	}
	return e.patch(ctx, observed, change)
}

// tryOut asks the API server whether it would create an object. A webhook that cannot be tried out is asked for good only.
func (e *Executor) tryOut(ctx context.Context, o client.Object) error {
	err := e.Client.Create(ctx, o.DeepCopyObject().(client.Object), client.DryRunAll)
	if apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run") {
		return nil
	}
	return client.IgnoreAlreadyExists(err)
}

func annotate(key, value string) func(client.Object) {
	return func(o client.Object) {
		annotations := o.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[key] = value
		o.SetAnnotations(annotations)
	}
}

func unannotate(keys ...string) func(client.Object) {
	return func(o client.Object) {
		annotations := o.GetAnnotations()
		for _, key := range keys {
			delete(annotations, key)
		}
		o.SetAnnotations(annotations)
	}
}

func (e *Executor) timestamp() string { return e.Now().UTC().Format(time.RFC3339) }

// fresh makes sure that the servers are those that the decision was made about.
func (e *Executor) fresh(ctx context.Context, s *observe.Snapshot) error {
	var live corev1.PersistentVolumeClaimList
	if err := e.Live.List(ctx, &live, client.InNamespace(s.Cluster.Namespace),
		client.MatchingLabels{v1alpha1.LabelCluster: s.Cluster.Name}); err != nil {
		return fmt.Errorf("listing volume claims: %w", err)
	}
	ours := 0
	for i := range live.Items {
		claim := &live.Items[i]
		if _, ok := resources.Serial(s.Cluster.Name, claim.Name); !ok || !observe.Ours(s.Cluster, claim) {
			continue
		}
		ours++
		seen := s.Claims[claim.Name]
		if seen == nil || seen.UID != claim.UID || seen.ResourceVersion != claim.ResourceVersion {
			return fmt.Errorf("%w: server %s has changed", ErrStale, claim.Name)
		}
	}
	if ours != len(s.Claims) {
		return fmt.Errorf("%w: a server is gone", ErrStale)
	}
	return nil
}

// delete deletes an object as it was observed, and nothing that took its name since.
func (e *Executor) delete(ctx context.Context, o client.Object) error {
	uid, version := o.GetUID(), o.GetResourceVersion()
	return client.IgnoreNotFound(e.Client.Delete(ctx, o, client.Preconditions{UID: &uid, ResourceVersion: &version}))
}

// record changes the records of a cluster, which are annotations of its ConsulCluster.
func (e *Executor) record(ctx context.Context, s *observe.Snapshot, event string, change func(client.Object)) (Outcome, error) {
	return Outcome{Event: event}, e.book(ctx, s, change)
}

// book changes the records of a cluster and binds them to its UID. The records of another cluster, of which this one is a
// copy, would be taken for its own from then on: they go.
func (e *Executor) book(ctx context.Context, s *observe.Snapshot, change func(client.Object)) error {
	return e.patch(ctx, s.Cluster, func(o client.Object) {
		if s.Copied {
			unannotate(v1alpha1.AnnotationBootstrapped, v1alpha1.AnnotationNextSerial, v1alpha1.AnnotationRecovery,
				v1alpha1.AnnotationGossip, v1alpha1.AnnotationTLS, v1alpha1.AnnotationACLs, v1alpha1.AnnotationRestoring,
				v1alpha1.AnnotationIdentity, v1alpha1.AnnotationAdopting, v1alpha1.AnnotationFounding)(o)
		}
		annotate(v1alpha1.AnnotationRecordsOf, string(s.Cluster.UID))(o)
		change(o)
	})
}

// useUp removes a person's word that client agents are ready for something, once it has begun.
func useUp(word string) func(client.Object) {
	return func(o client.Object) {
		if o.GetAnnotations()[v1alpha1.AnnotationAgentsReady] == word {
			unannotate(v1alpha1.AnnotationAgentsReady)(o)
		}
	}
}

func (e *Executor) recordBootstrapped(ctx context.Context, s *observe.Snapshot) (Outcome, error) {
	event := s.Raft.Leader + " was elected as the first leader"
	if s.Spec.Unrecorded {
		event = "the record that there was a leader is missing: it is written again"
	}
	return e.record(ctx, s, event, annotate(v1alpha1.AnnotationBootstrapped, e.timestamp()))
}

// setMinAvailable changes the disruption budget as it was observed.
func (e *Executor) setMinAvailable(ctx context.Context, s *observe.Snapshot, a plan.SetMinAvailable) (Outcome, error) {
	changed := s.Budget.DeepCopy()
	changed.Spec = resources.DisruptionBudget(s.Cluster, a.Pods).Spec
	return Outcome{Event: a.Because}, e.Client.Update(ctx, changed)
}
