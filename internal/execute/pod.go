package execute

import (
	"context"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func (e *Executor) createPod(ctx context.Context, s *observe.Snapshot, a plan.CreatePod) (Outcome, error) {
	claim := s.Claims[a.Server]
	revision, event, err := e.revisionOf(ctx, s, claim)
	if revision == nil || err != nil {
		return Outcome{Event: event}, err
	}
	server := resources.Server{Name: a.Server, Avoid: a.Avoid, Volume: *claim.Spec.Resources.Requests.Storage()}
	if !s.Spec.Bootstrapped {
		server.BootstrapExpect, _ = strconv.Atoi(claim.Annotations[v1alpha1.AnnotationBootstrapExpect]) // absent: 0
	}
	server.Recovery, server.Settings = (*resources.Recovery)(s.Spec.Recovery), settingsFor(s)
	pod, err := resources.Pod(s.Cluster, server, revision)
	if err != nil {
		return Outcome{}, err
	}
	live := &corev1.Pod{}
	created, err := e.create(ctx, pod, live)
	if created || err != nil {
		return Outcome{}, err
	}
	// It may have been created of another revision than its claim has by now.
	return Outcome{}, e.relabel(ctx, s.Cluster, live, resources.PodLabels(s.Cluster, live))
}

// revisionOf is what the server on a claim is to run. Only the operator's own word counts: a pod is created from it. The cache
// does not have what Secrets hold. If that of the wanted revision holds anything else, it is written anew, and there is none yet.
func (e *Executor) revisionOf(
	ctx context.Context, s *observe.Snapshot, claim *corev1.PersistentVolumeClaim,
) (revision *corev1.Secret, event string, err error) {
	revision = &corev1.Secret{}
	name := claim.Annotations[v1alpha1.AnnotationRevision]
	key := client.ObjectKey{Namespace: claim.Namespace, Name: resources.RevisionName(s.Cluster.Name, name)}
	if err := e.readLive(ctx, key, revision); err != nil {
		return nil, "", err
	}
	if err := e.relabel(ctx, s.Cluster, revision, resources.RevisionLabels(s.Cluster, name)); err != nil {
		return nil, "", err
	}
	switch {
	case s.HasWritten(name, revision):
		return revision, "", nil
	case name == s.Spec.Revision:
		return nil, "Secret " + key.Name + " did not hold what the operator wrote: it is written anew", e.rewrite(ctx, s, revision)
	}
	return nil, "", fmt.Errorf("secret %s does not hold what the operator wrote, and no server is started with it: delete it and "+
		"restore it from a backup, or let the servers get another revision", key.Name)
}

// rewrite puts the wanted revision in the place of a Secret.
func (e *Executor) rewrite(ctx context.Context, s *observe.Snapshot, secret *corev1.Secret) error {
	wanted, err := resources.RevisionSecret(s.Cluster)
	if err != nil {
		return err
	}
	if err := e.delete(ctx, secret); err != nil {
		return err
	}
	return client.IgnoreAlreadyExists(e.Client.Create(ctx, wanted))
}

func (e *Executor) deletePod(ctx context.Context, s *observe.Snapshot, pod, event string) (Outcome, error) {
	return Outcome{Event: event}, e.delete(ctx, s.Pods[pod])
}

func (e *Executor) openGate(ctx context.Context, s *observe.Snapshot, server string) (Outcome, error) {
	return Outcome{Event: server + " is a healthy voter and starts to serve"},
		e.setGate(ctx, s.Pods[server], corev1.ConditionTrue, "HealthyVoter")
}

func (e *Executor) closeGate(ctx context.Context, s *observe.Snapshot, server string) (Outcome, error) {
	return Outcome{}, e.setGate(ctx, s.Pods[server], corev1.ConditionFalse, "Retiring")
}

// setGate sets the readiness gate. The patch names this condition alone: the others are the kubelet's. It also names the pod's
// UID, and is refused as invalid if another pod has that name by now.
func (e *Executor) setGate(ctx context.Context, pod *corev1.Pod, status corev1.ConditionStatus, reason string) error {
	gated := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}}
	base := gated.DeepCopy()
	gated.UID = pod.UID
	gated.Status.Conditions = []corev1.PodCondition{{
		Type: v1alpha1.GateServing, Status: status, Reason: reason,
		LastTransitionTime: observe.RoundUp(e.Now()),
	}}
	err := client.IgnoreNotFound(e.Client.Status().Patch(ctx, gated, client.StrategicMergeFrom(base)))
	if apierrors.IsInvalid(err) { // a UID cannot change, and nothing else of the patch can be invalid
		return fmt.Errorf("%w: another pod is called %s: %w", ErrStale, pod.Name, err)
	}
	return err
}
