package execute

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// createServer raises the serial on the ConsulCluster before it creates the claim: an operator that stops in between wastes a
// serial and never uses one twice, and an operator that acts on a stale snapshot gets a conflict. A claim that a quota or a
// policy refuses wastes none: it is tried out first.
func (e *Executor) createServer(ctx context.Context, s *observe.Snapshot, a plan.CreateServer) (Outcome, error) {
	annotations := map[string]string{v1alpha1.AnnotationRevision: s.Spec.Revision}
	if a.BootstrapExpect > 0 {
		annotations[v1alpha1.AnnotationBootstrapExpect] = strconv.Itoa(a.BootstrapExpect)
	}
	claim := resources.Claim(s.Cluster, resources.ServerName(s.Cluster.Name, a.Serial), annotations)
	claim.Spec.Resources.Requests[corev1.ResourceStorage] = resources.VolumeSize(s.Cluster, s.Claims)
	if err := e.tryOut(ctx, claim); err != nil {
		return Outcome{}, err
	}
	next := strconv.Itoa(a.Serial + 1)
	if err := e.book(ctx, s, annotate(v1alpha1.AnnotationNextSerial, next)); err != nil {
		return Outcome{}, err
	}
	live := &corev1.PersistentVolumeClaim{}
	created, err := e.create(ctx, claim, live)
	if !created && err == nil {
		err = e.relabel(ctx, s.Cluster, live, claim.Labels)
	}
	if errors.Is(err, ErrNameTaken) { // the next server has another name
		return Outcome{Event: "volume claim " + claim.Name + " exists and does not belong to this cluster: it is passed over"}, nil
	}
	return Outcome{Event: fmt.Sprintf("created server %s (Consul %s)", claim.Name, s.Cluster.Spec.Version)}, err
}

func (e *Executor) markFailed(ctx context.Context, s *observe.Snapshot, a plan.MarkFailed) (Outcome, error) {
	err := e.patch(ctx, s.Claims[a.Server], annotate(v1alpha1.AnnotationFailed, e.timestamp()))
	return Outcome{Event: a.Server + " has failed and is given up: another server takes its place"}, err
}

func (e *Executor) unmarkFailed(ctx context.Context, s *observe.Snapshot, a plan.UnmarkFailed) (Outcome, error) {
	err := e.patch(ctx, s.Claims[a.Server], unannotate(v1alpha1.AnnotationFailed))
	return Outcome{Event: a.Server + " has recovered, and stays"}, err
}

func (e *Executor) markRetiring(ctx context.Context, s *observe.Snapshot, a plan.MarkRetiring) (Outcome, error) {
	err := e.patch(ctx, s.Claims[a.Server], func(o client.Object) {
		annotate(v1alpha1.AnnotationRetiring, e.timestamp())(o)
		if a.InPlace {
			annotate(v1alpha1.AnnotationInPlace, "true")(o)
		}
	})
	if a.InPlace {
		return Outcome{Event: a.Server + " is updated in place: it leaves the client Service first"}, err
	}
	return Outcome{Event: a.Server + " is retiring: it leaves the client Service first"}, err
}

func (e *Executor) unmarkRetiring(ctx context.Context, s *observe.Snapshot, a plan.UnmarkRetiring) (Outcome, error) {
	err := e.patch(ctx, s.Claims[a.Server], unannotate(v1alpha1.AnnotationRetiring, v1alpha1.AnnotationInPlace))
	return Outcome{Event: a.Server + " stays after all"}, err
}

func (e *Executor) setRevision(ctx context.Context, s *observe.Snapshot, a plan.SetRevision) (Outcome, error) {
	err := e.patch(ctx, s.Claims[a.Server], func(o client.Object) {
		annotate(v1alpha1.AnnotationRevision, s.Spec.Revision)(o)
		unannotate(v1alpha1.AnnotationRetiring, v1alpha1.AnnotationInPlace)(o) // it comes back
	})
	return Outcome{Event: fmt.Sprintf("%s gets Consul %s on its volume", a.Server, s.Cluster.Spec.Version)}, err
}

func (e *Executor) recordVersion(ctx context.Context, s *observe.Snapshot, a plan.RecordVersion) (Outcome, error) {
	return Outcome{}, e.patch(ctx, s.Claims[a.Server], annotate(v1alpha1.AnnotationVersion, a.Version))
}

// releaseClaim deletes the claim of a server that is gone, or keeps it as one that is no server any more.
func (e *Executor) releaseClaim(ctx context.Context, s *observe.Snapshot, a plan.ReleaseClaim) (Outcome, error) {
	claim := s.Claims[a.Server]
	if s.Cluster.Spec.Storage.Retention == v1alpha1.RetentionRetain {
		err := e.patch(ctx, claim, func(o client.Object) { retire(o, v1alpha1.RetiredGracefully) })
		return Outcome{Event: a.Server + " is gone; its volume is retained"}, err
	}
	return Outcome{Event: a.Server + " is gone; its volume is deleted"}, e.delete(ctx, claim)
}

// quarantineClaim sets the claim of a failed server aside. A volume that goes with the cluster still does.
func (e *Executor) quarantineClaim(ctx context.Context, s *observe.Snapshot, a plan.QuarantineClaim) (Outcome, error) {
	err := e.patch(ctx, s.Claims[a.Server], func(o client.Object) { retire(o, v1alpha1.RetiredFailed) })
	return Outcome{Event: fmt.Sprintf("%s has failed and is out of the cluster; its volume is kept: look at it, "+
		"then delete claim %s", a.Server, a.Server)}, err
}

func retire(claim client.Object, how string) {
	labels := claim.GetLabels()
	labels[v1alpha1.LabelRetired] = how
	claim.SetLabels(labels)
}
