// Package controllers holds the reconcilers. They are thin: observe, plan, execute, report.
package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/execute"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/status"
)

// lookAgainSoon is when a picture that was out of date is taken anew.
const lookAgainSoon = 50 * time.Millisecond

// lookAgainLater is when a picture is taken anew that is all that the planner needs, and not all that people want to see.
const lookAgainLater = 10 * time.Second

// ConsulClusterReconciler keeps ConsulClusters as they should be. One reconcile is one pass.
type ConsulClusterReconciler struct {
	Client   client.Client
	Observer *observe.Observer
	Executor *execute.Executor
	Watcher  *consul.Watcher
	Events   events.EventRecorder
	Now      func() time.Time
}

// What the operator may do, and no more.
//
// +kubebuilder:rbac:groups=consuloperator.io,resources=consulclusters,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=consuloperator.io,resources=consulclusters/status,verbs=patch
// +kubebuilder:rbac:groups=consuloperator.io,resources=consulclusters/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=pods/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=services;serviceaccounts,verbs=get;list;watch;create;update
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;update
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile is one pass over one cluster: observe, plan, execute, report.
func (r *ConsulClusterReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	cluster := &v1alpha1.ConsulCluster{}
	if err := r.Client.Get(ctx, request.NamespacedName, cluster); err != nil {
		r.Watcher.Forget(request.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	snapshot, err := r.Observer.Observe(ctx, cluster)
	if err != nil {
		return ctrl.Result{}, err
	}
	decision := plan.Plan(snapshot.Observation, r.Now())
	if snapshot.Spec.Deleting {
		r.Watcher.Forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if snapshot.NoCatalog != nil && decision.LookAgain == 0 {
		decision.LookAgain = lookAgainLater
	}
	handoff, failure := r.execute(ctx, snapshot, decision)
	failure = r.refused(snapshot, &decision, failure)
	if err := r.report(ctx, snapshot, decision, handoff); err != nil {
		failure = errors.Join(failure, err)
	}
	return r.next(ctx, request, snapshot, decision, failure)
}

// execute carries out a decision and says what happened.
func (r *ConsulClusterReconciler) execute(
	ctx context.Context, s *observe.Snapshot, d plan.Decision,
) (*execute.Handoff, error) {
	var (
		handoff  *execute.Handoff
		failures []error
	)
	actions := d.Upkeep
	if err := r.Executor.Sync(ctx, s); err != nil {
		failures = append(failures, err) // upkeep goes on: a volume that cannot grow must not keep a pod from coming back
	} else if d.Step != nil {
		actions = append(actions[:len(actions):len(actions)], d.Step)
	}
	for _, action := range actions {
		outcome, err := r.Executor.Do(ctx, s, action)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		log.FromContext(ctx).V(1).Info("done", "action", fmt.Sprintf("%T%+v", action, action), "reason", d.Reason)
		if outcome.Event != "" {
			log.FromContext(ctx).Info(outcome.Event)
			r.Events.Eventf(s.Cluster, nil, corev1.EventTypeNormal, eventReason(action), eventReason(action), "%s", outcome.Event)
		}
		if outcome.Handoff != nil {
			handoff = outcome.Handoff
		}
	}
	return handoff, errors.Join(failures...)
}

// refused makes a decision of an API server's refusal of what the user asked for: a part of the pod template or of
// the storage that is checked only when an object is made of it.
func (r *ConsulClusterReconciler) refused(s *observe.Snapshot, d *plan.Decision, err error) error {
	var refusal *apierrors.StatusError
	if errors.Is(err, execute.ErrStale) {
		return err
	}
	if !errors.As(err, &refusal) || !apierrors.IsInvalid(refusal) && !apierrors.IsForbidden(refusal) {
		return err
	}
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return err // that is no fault of the spec
	}
	problem := plan.Problem{
		Reason:  v1alpha1.ReasonInvalidSpec,
		Message: "the API server refuses what the spec asks for: " + refusal.Error(),
	}
	s.Spec.Invalid = &problem
	d.Done, d.Reason, d.Message, d.LookAgain = false, problem.Reason, problem.Message, time.Minute
	return nil
}

// report writes the status if it differs from the last one.
func (r *ConsulClusterReconciler) report(
	ctx context.Context, s *observe.Snapshot, d plan.Decision, handoff *execute.Handoff,
) error {
	changed := s.Cluster.DeepCopy()
	changed.Status = status.Build(s, d, r.Now())
	if handoff != nil {
		changed.Status.LastHandoff = &v1alpha1.Handoff{
			From: handoff.From, To: handoff.To, At: metav1.NewTime(r.Now()),
			Took: metav1.Duration{Duration: handoff.Took.Round(time.Millisecond)},
		}
	}
	if equality.Semantic.DeepEqual(s.Cluster.Status, changed.Status) {
		return nil
	}
	r.warn(s.Cluster, changed)
	return client.IgnoreNotFound(r.Client.Status().Patch(ctx, changed, client.MergeFrom(s.Cluster)))
}

// warn tells of a cluster that needs a person from now on.
func (r *ConsulClusterReconciler) warn(before, now *v1alpha1.ConsulCluster) {
	stalled := apimeta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionStalled)
	if stalled.Status != metav1.ConditionTrue ||
		apimeta.IsStatusConditionTrue(before.Status.Conditions, v1alpha1.ConditionStalled) {
		return
	}
	r.Events.Eventf(now, nil, corev1.EventTypeWarning, stalled.Reason, "Wait", "%s", stalled.Message)
}

// next says when to look again. A cluster with nothing to do is followed instead of looked at.
func (r *ConsulClusterReconciler) next(
	ctx context.Context, request ctrl.Request, s *observe.Snapshot, d plan.Decision, failure error,
) (ctrl.Result, error) {
	if errors.Is(failure, execute.ErrStale) || apierrors.IsConflict(failure) {
		log.FromContext(ctx).V(1).Info("looking again", "because", failure.Error())
		return ctrl.Result{RequeueAfter: lookAgainSoon}, nil
	}
	if failure != nil {
		return ctrl.Result{}, failure
	}
	if d.LookAgain > 0 {
		r.Watcher.Forget(request.NamespacedName)
		return ctrl.Result{RequeueAfter: d.LookAgain}, nil
	}
	var addresses []string
	for _, server := range s.Servers {
		addresses = append(addresses, s.Address(server.Name))
	}
	r.Watcher.Follow(request.NamespacedName, s.Address(s.Raft.Leader), addresses)
	return ctrl.Result{}, nil
}

// eventReason is the name of an action, which is what an event's reason should be: TransferLeadership.
func eventReason(action plan.Action) string {
	return strings.TrimPrefix(fmt.Sprintf("%T", action), "plan.")
}
