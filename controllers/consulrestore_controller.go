package controllers

import (
	"context"
	"errors"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/backup"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// restoreWithin is how long a Job tries to restore a snapshot. The cluster waits meanwhile.
const restoreWithin = 30 * time.Minute

// ConsulRestoreReconciler restores the snapshots that ConsulRestores ask for.
type ConsulRestoreReconciler struct {
	jobs
	Events events.EventRecorder
	// Image is the operator's own.
	Image string
	Now   func() time.Time
}

// +kubebuilder:rbac:groups=consuloperator.io,resources=consulrestores,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=consuloperator.io,resources=consulrestores/status,verbs=patch
// +kubebuilder:rbac:groups=consuloperator.io,resources=consulrestores/finalizers,verbs=update

// Reconcile is one pass over one ConsulRestore. One that is completed is left alone.
func (r *ConsulRestoreReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	asked := &v1alpha1.ConsulRestore{}
	err := r.Get(ctx, request.NamespacedName, asked)
	if err != nil || !asked.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if asked.Status.CompletedAt != nil {
		return ctrl.Result{}, errors.Join(r.markCompleted(ctx, asked), r.expireAll(ctx, asked))
	}
	seen, err := r.observe(ctx, asked)
	if err != nil {
		return ctrl.Result{}, err
	}
	decision := backup.Restore(seen)
	known, err := r.execute(ctx, seen, decision)
	if err != nil {
		return ctrl.Result{}, err
	}
	if known.Taken != "" || known.Refused != "" {
		seen.Job = known
		decision = backup.Restore(seen)
	}
	return ctrl.Result{RequeueAfter: decision.RequeueAfter}, r.report(ctx, seen, decision)
}

// observe reads what a decision needs.
func (r *ConsulRestoreReconciler) observe(
	ctx context.Context, asked *v1alpha1.ConsulRestore,
) (backup.RestoreObservation, error) {
	seen := backup.RestoreObservation{Restore: asked, Image: r.Image}
	var err error
	if seen.Cluster, err = r.cluster(ctx, asked.Namespace, asked.Spec.ClusterName); err != nil {
		return seen, err
	}
	if name := asked.Spec.From.SnapshotName; name != "" {
		if seen.Source, err = r.snapshot(ctx, asked.Namespace, name); err != nil {
			return seen, err
		}
	}
	if seen.Before, err = r.snapshot(ctx, asked.Namespace, resources.RecordOfRestore(asked).SnapshotBefore()); err != nil {
		return seen, err
	}
	if asked.Status.PreparedAt == nil {
		key := client.ObjectKey{Namespace: asked.Namespace, Name: resources.InspectJobName(asked.Name)}
		if seen.Inspection, err = r.read(ctx, key, asked.UID); err != nil {
			return seen, err
		}
	}
	key := client.ObjectKey{Namespace: asked.Namespace, Name: resources.RestoreJobName(asked.Name)}
	seen.Job, err = r.read(ctx, key, asked.UID)
	hasWay := seen.Cluster != nil && resources.HasWay(seen.Cluster, asked)
	if err == nil && !seen.Job.Exists && (hasWay || asked.Status.StartedAt != nil) { // that may be final, and the cache lags
		seen.Job, err = r.readFrom(ctx, r.live, key, asked.UID)
	}
	return seen, err
}

// markCompleted has a copy of a ConsulRestore that was completed, as from a backup, not happen again.
func (r *ConsulRestoreReconciler) markCompleted(ctx context.Context, asked *v1alpha1.ConsulRestore) error {
	if _, is := asked.Annotations[v1alpha1.AnnotationCompleted]; is {
		return nil
	}
	changed := asked.DeepCopy()
	metav1.SetMetaDataAnnotation(&changed.ObjectMeta, v1alpha1.AnnotationCompleted,
		asked.Status.CompletedAt.UTC().Format(time.RFC3339))
	return client.IgnoreNotFound(r.Patch(ctx, changed, client.MergeFrom(asked)))
}

// snapshot is a ConsulSnapshot; nil if there is none.
func (j jobs) snapshot(ctx context.Context, namespace, name string) (*v1alpha1.ConsulSnapshot, error) {
	snapshot := &v1alpha1.ConsulSnapshot{}
	if err := j.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, snapshot); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return snapshot, nil
}

// expireAll has Kubernetes delete the Jobs.
func (r *ConsulRestoreReconciler) expireAll(ctx context.Context, asked *v1alpha1.ConsulRestore) error {
	var errs []error
	for _, name := range []string{resources.InspectJobName(asked.Name), resources.RestoreJobName(asked.Name)} {
		errs = append(errs, r.expire(ctx, client.ObjectKey{Namespace: asked.Namespace, Name: name}, asked.UID))
	}
	return errors.Join(errs...)
}

// execute does what was decided. It returns what became of the Job that it created.
func (r *ConsulRestoreReconciler) execute(
	ctx context.Context, seen backup.RestoreObservation, d backup.RestoreDecision,
) (backup.Job, error) {
	if d.TakeBefore {
		return r.takeBefore(ctx, seen.Restore)
	}
	if d.Create == "" {
		return backup.Job{}, nil
	}
	if d.Create == resources.ContainerRestore {
		if has, err := r.hasWay(ctx, seen); err != nil || !has {
			return backup.Job{}, err
		}
	}
	return r.create(ctx, restoreJob(seen, d), seen.Restore.UID)
}

// hasWay makes sure that the ConsulRestore is still asked for, and that the cluster has made way for it: a Job that nobody waits
// for would replace the data of a cluster that goes on.
func (r *ConsulRestoreReconciler) hasWay(ctx context.Context, seen backup.RestoreObservation) (bool, error) {
	asked, cluster := &v1alpha1.ConsulRestore{}, &v1alpha1.ConsulCluster{}
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(seen.Restore), asked); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(seen.Cluster), cluster); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return asked.UID == seen.Restore.UID && asked.DeletionTimestamp.IsZero() && resources.HasWay(cluster, asked), nil
}

// takeBefore creates the ConsulSnapshot of the present data. It stays when the ConsulRestore is deleted.
func (r *ConsulRestoreReconciler) takeBefore(ctx context.Context, asked *v1alpha1.ConsulRestore) (known backup.Job, err error) {
	err = r.Create(ctx, &v1alpha1.ConsulSnapshot{
		ObjectMeta: metav1.ObjectMeta{Name: resources.RecordOfRestore(asked).SnapshotBefore(), Namespace: asked.Namespace},
		Spec:       v1alpha1.ConsulSnapshotSpec{ClusterName: asked.Spec.ClusterName},
	})
	if apierrors.IsAlreadyExists(err) { // the cache does not have it yet
		return known, nil
	}
	known.Refused, err = refusal(err)
	return known, err
}

// restoreJob is the Job that restores a snapshot, or reads it.
func restoreJob(seen backup.RestoreObservation, d backup.RestoreDecision) *batchv1.Job {
	asked := seen.Restore
	name := resources.RestoreJobName(asked.Name)
	if d.Create == resources.ContainerInspect {
		name = resources.InspectJobName(asked.Name)
	}
	return resources.SnapshotJob(seen.Cluster, resources.SnapshotTask{
		Name:       name,
		Owner:      *metav1.NewControllerRef(asked, v1alpha1.GroupVersion.WithKind("ConsulRestore")),
		Container:  d.Create,
		Objects:    []string{d.Object},
		SHA256:     d.SHA256,
		Within:     restoreWithin,
		Image:      seen.Image,
		ServerName: ptr.Deref(seen.Cluster.Status.Access, v1alpha1.Access{}).ServerName,
	})
}

// report writes the status if it differs from the last one, and makes an event of how it ended.
func (r *ConsulRestoreReconciler) report(
	ctx context.Context, seen backup.RestoreObservation, d backup.RestoreDecision,
) error {
	changed := seen.Restore.DeepCopy()
	changed.Status = backup.RestoreStatus(seen, d, r.Now())
	if equality.Semantic.DeepEqual(seen.Restore.Status, changed.Status) {
		return nil
	}
	if err := r.Status().Patch(ctx, changed, client.MergeFrom(seen.Restore)); err != nil {
		return client.IgnoreNotFound(err)
	}
	tellEnd(r.Events, changed, d.Decision)
	return nil
}
