package controllers

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/backup"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// ConsulSnapshotReconciler takes the snapshots that ConsulSnapshots ask for.
type ConsulSnapshotReconciler struct {
	jobs
	Events events.EventRecorder
	// Image is the operator's own.
	Image string
	Now   func() time.Time
}

// +kubebuilder:rbac:groups=consuloperator.io,resources=consulsnapshots,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=consuloperator.io,resources=consulsnapshots/status,verbs=patch
// +kubebuilder:rbac:groups=consuloperator.io,resources=consulsnapshots/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=events,verbs=list
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;patch;delete

// Reconcile is one pass over one ConsulSnapshot. One that is completed is left alone.
func (r *ConsulSnapshotReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	asked := &v1alpha1.ConsulSnapshot{}
	err := r.Get(ctx, request.NamespacedName, asked)
	if err != nil || !asked.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	switch {
	case asked.Status.CompletedAt == nil:
	case backup.IsReplaced(asked):
		return ctrl.Result{}, r.end(ctx, jobOf(asked), asked.UID)
	default:
		return ctrl.Result{}, r.expire(ctx, jobOf(asked), asked.UID)
	}
	seen, err := r.observe(ctx, asked)
	if err != nil {
		return ctrl.Result{}, err
	}
	decision := backup.Snapshot(seen)
	if decision.Create != "" {
		known, err := r.create(ctx, snapshotJob(seen), asked.UID)
		if err != nil {
			return ctrl.Result{}, err
		}
		if known.Taken != "" || known.Refused != "" {
			seen.Job = known
			decision = backup.Snapshot(seen)
		}
	}
	return ctrl.Result{RequeueAfter: decision.RequeueAfter}, r.report(ctx, seen, decision)
}

// observe reads what a decision needs.
func (r *ConsulSnapshotReconciler) observe(
	ctx context.Context, asked *v1alpha1.ConsulSnapshot,
) (backup.SnapshotObservation, error) {
	seen := backup.SnapshotObservation{Snapshot: asked, Image: r.Image}
	var err error
	if seen.Cluster, err = r.cluster(ctx, asked.Namespace, asked.Spec.ClusterName); err != nil {
		return seen, err
	}
	if seen.Job, err = r.read(ctx, jobOf(asked), asked.UID); err != nil {
		return seen, err
	}
	var all v1alpha1.ConsulSnapshotList
	if err := r.List(ctx, &all, client.InNamespace(asked.Namespace)); err != nil {
		return seen, fmt.Errorf("listing ConsulSnapshots: %w", err)
	}
	seen.All = all.Items
	if !seen.Job.Exists && seen.Cluster != nil {
		seen.Saving, err = r.saving(ctx, seen.Cluster)
	}
	return seen, err
}

// cluster is a ConsulCluster; nil if there is none.
func (j jobs) cluster(ctx context.Context, namespace, name string) (*v1alpha1.ConsulCluster, error) {
	cluster := &v1alpha1.ConsulCluster{}
	if err := j.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, cluster); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return cluster, nil
}

func jobOf(asked *v1alpha1.ConsulSnapshot) client.ObjectKey {
	return client.ObjectKey{Namespace: asked.Namespace, Name: asked.Name + "-save"}
}

// snapshotJob is the Job that takes a snapshot.
func snapshotJob(seen backup.SnapshotObservation) *batchv1.Job {
	asked := seen.Snapshot
	return resources.SnapshotJob(seen.Cluster, resources.SnapshotTask{
		Name:       jobOf(asked).Name,
		Owner:      *metav1.NewControllerRef(asked, v1alpha1.GroupVersion.WithKind("ConsulSnapshot")),
		Container:  resources.ContainerSave,
		Objects:    []string{resources.SnapshotObject(seen.Cluster, asked)},
		AndRestore: asked.Spec.Verify == v1alpha1.VerifyRestore,
		Within:     within(asked),
		Image:      seen.Image,
		ServerName: ptr.Deref(seen.Cluster.Status.Access, v1alpha1.Access{}).ServerName,
	})
}

func within(asked *v1alpha1.ConsulSnapshot) time.Duration {
	if asked.Spec.Within == nil {
		return v1alpha1.DefaultSnapshotWithin
	}
	return asked.Spec.Within.Duration
}

// report writes the status if it differs from the last one, and makes an event of how it ended.
func (r *ConsulSnapshotReconciler) report(
	ctx context.Context, seen backup.SnapshotObservation, decision backup.Decision,
) error {
	changed := seen.Snapshot.DeepCopy()
	changed.Status = backup.SnapshotStatus(seen, decision, r.Now())
	if equality.Semantic.DeepEqual(seen.Snapshot.Status, changed.Status) {
		return nil
	}
	if err := r.Status().Patch(ctx, changed, client.MergeFrom(seen.Snapshot)); err != nil {
		return client.IgnoreNotFound(err)
	}
	tellEnd(r.Events, changed, decision)
	return nil
}

// tellEnd makes an event of how something ended.
func tellEnd(recorder events.EventRecorder, of client.Object, decision backup.Decision) {
	switch decision.State {
	case backup.Succeeded:
		recorder.Eventf(of, nil, corev1.EventTypeNormal, string(decision.Reason), "Complete", "%s", decision.Message)
	case backup.Failed:
		recorder.Eventf(of, nil, corev1.EventTypeWarning, string(decision.Reason), "Fail", "%s", decision.Message)
	}
}
