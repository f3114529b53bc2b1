package controllers

import (
	"context"
	"errors"
	"slices"
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

// requeueSoon is the requeue delay when the snapshot was stale, or what it has to show has just changed.
const requeueSoon = 50 * time.Millisecond

// ConsulClusterReconciler keeps ConsulClusters as they should be. One reconcile is one pass.
type ConsulClusterReconciler struct {
	Client   client.Client
	Observer *observe.Observer
	Executor *execute.Executor
	Watcher  *consul.Watcher
	Events   events.EventRecorder
	Now      func() time.Time
	// written is the status of each cluster that the cache may not have yet.
	written written
}

// What the operator may do, and no more.
//
// +kubebuilder:rbac:groups=consuloperator.io,resources=consulclusters,verbs=get;list;watch;patch;record
// +kubebuilder:rbac:groups=consuloperator.io,resources=consulclusters/status,verbs=patch
// +kubebuilder:rbac:groups=consuloperator.io,resources=consulclusters/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=pods/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=services;serviceaccounts,verbs=get;list;watch;create;update
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups=monitoring.coreos.com,resources=podmonitors,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;update
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes/stats,verbs=get
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile is one pass over one cluster: observe, plan, execute, report. A cluster that is being deleted is left to garbage
// collection.
func (r *ConsulClusterReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	cluster := &v1alpha1.ConsulCluster{}
	err := r.Client.Get(ctx, request.NamespacedName, cluster)
	if err != nil || !cluster.DeletionTimestamp.IsZero() {
		r.Watcher.Forget(request.NamespacedName)
		r.Observer.Pools.Drop(request.NamespacedName)
		r.written.forget(request.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if wait := r.written.untilSeen(cluster, r.Now()); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	snapshot, err := r.Observer.Observe(ctx, cluster)
	if err != nil {
		return ctrl.Result{}, err
	}
	decision := plan.Plan(snapshot.Observation, r.Now())
	outcome, err := r.execute(ctx, snapshot, decision)
	err = errors.Join(err, r.report(ctx, snapshot, decision, outcome))
	return r.next(ctx, request, snapshot, decision, outcome, err)
}

// execute carries out a decision. What fails is a part of the outcome and no error: it is reported, and planned with in the
// next pass.
func (r *ConsulClusterReconciler) execute(
	ctx context.Context, s *observe.Snapshot, d plan.Decision,
) (status.Outcome, error) {
	done, failures, err := r.Executor.CarryOut(ctx, s, d)
	outcome := status.Outcome{Failures: failures}
	for _, did := range done {
		r.tell(ctx, s, d, did)
		if did.Handoff != nil {
			outcome.Handoff = did.Handoff
		}
	}
	for _, f := range failures {
		if slices.Contains(s.Failures, f) { // not tried again yet
			continue
		}
		log.FromContext(ctx).Info("Attempt failed", "attempt", f.Attempt, "reason", f.Reason, "since", f.Since, "last", f.Last,
			"message", f.Message)
	}
	return outcome, err
}

// tell logs an action that was carried out and, if users want to know of it, makes an event of it.
func (r *ConsulClusterReconciler) tell(
	ctx context.Context, s *observe.Snapshot, d plan.Decision, did execute.Done,
) {
	name := plan.NameOf(did.Action)
	logger := log.FromContext(ctx).WithValues("action", name, "arguments", did.Action, "rule", d.Rule, "reason", d.Reason)
	if did.Event == "" {
		logger.V(1).Info("Action carried out")
		return
	}
	logger.Info("Action carried out", "event", did.Event)
	r.Events.Eventf(s.Cluster, nil, corev1.EventTypeNormal, name, name, "%s", did.Event)
}

// report writes the status if it differs from the last one.
func (r *ConsulClusterReconciler) report(
	ctx context.Context, s *observe.Snapshot, d plan.Decision, outcome status.Outcome,
) error {
	changed := s.Cluster.DeepCopy()
	changed.Status = status.Build(s, d, outcome, r.Now())
	if equality.Semantic.DeepEqual(s.Cluster.Status, changed.Status) {
		return nil
	}
	r.warn(s.Cluster, changed)
	if err := r.Client.Status().Patch(ctx, changed, client.MergeFrom(s.Cluster)); err != nil {
		return client.IgnoreNotFound(err)
	}
	r.written.note(changed, r.Now())
	return nil
}

// warn makes an event of a cluster that needs a person from now on.
func (r *ConsulClusterReconciler) warn(before, now *v1alpha1.ConsulCluster) {
	stalled := apimeta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionStalled)
	if stalled.Status != metav1.ConditionTrue ||
		apimeta.IsStatusConditionTrue(before.Status.Conditions, v1alpha1.ConditionStalled) {
		return
	}
	r.Events.Eventf(now, nil, corev1.EventTypeWarning, stalled.Reason, "Wait", "%s", stalled.Message)
}

// next says when to observe again. A cluster with nothing to do is followed instead of polled, also where something lies ahead of
// it.
func (r *ConsulClusterReconciler) next(
	ctx context.Context, request ctrl.Request, s *observe.Snapshot, d plan.Decision, outcome status.Outcome, failure error,
) (ctrl.Result, error) {
	if errors.Is(failure, execute.ErrStale) || apierrors.IsConflict(failure) {
		log.FromContext(ctx).V(1).Info("Snapshot was stale", "cause", failure.Error())
		return ctrl.Result{RequeueAfter: requeueSoon}, nil
	}
	if failure != nil {
		return ctrl.Result{}, failure
	}
	if len(s.Failures) != min(len(outcome.Failures), status.MostFailures) { // the message has to follow
		return ctrl.Result{RequeueAfter: requeueSoon}, nil
	}
	if d.RequeueAfter > 0 && !d.IsIdle() {
		r.Watcher.Forget(request.NamespacedName)
		return ctrl.Result{RequeueAfter: d.RequeueAfter}, nil
	}
	var servers []consul.Target
	for _, server := range s.Servers {
		servers = append(servers, s.Target(server.Name))
	}
	r.Watcher.Follow(request.NamespacedName, s.Target(s.Raft.Leader), servers)
	return ctrl.Result{RequeueAfter: d.RequeueAfter}, nil
}
