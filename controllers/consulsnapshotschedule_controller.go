package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/backup"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// deleteWithin is how long a Job tries to delete old objects.
const deleteWithin = 10 * time.Minute

// ConsulSnapshotScheduleReconciler creates the ConsulSnapshots that are due, and deletes old ones.
type ConsulSnapshotScheduleReconciler struct {
	jobs
	Events events.EventRecorder
	// Image is the operator's own.
	Image string
	Now   func() time.Time
}

// +kubebuilder:rbac:groups=consuloperator.io,resources=consulsnapshotschedules,verbs=get;list;watch
// +kubebuilder:rbac:groups=consuloperator.io,resources=consulsnapshotschedules/status,verbs=patch
// +kubebuilder:rbac:groups=consuloperator.io,resources=consulsnapshotschedules/finalizers,verbs=update

// Reconcile is one pass over one ConsulSnapshotSchedule.
func (r *ConsulSnapshotScheduleReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	schedule := &v1alpha1.ConsulSnapshotSchedule{}
	err := r.Get(ctx, request.NamespacedName, schedule)
	if err != nil || !schedule.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	seen, err := r.observe(ctx, schedule)
	if err != nil {
		return ctrl.Result{}, err
	}
	decision := backup.Schedule(seen, r.Now())
	if err := r.execute(ctx, &seen, decision); err != nil {
		return ctrl.Result{}, err
	}
	if seen.Deleting.Taken != "" || seen.Deleting.Refused != "" {
		decision.Decision = backup.Schedule(seen, r.Now()).Decision
	}
	return ctrl.Result{RequeueAfter: decision.RequeueAfter}, r.report(ctx, seen, decision)
}

// observe reads what a decision needs.
func (r *ConsulSnapshotScheduleReconciler) observe(
	ctx context.Context, schedule *v1alpha1.ConsulSnapshotSchedule,
) (backup.ScheduleObservation, error) {
	seen := backup.ScheduleObservation{Schedule: schedule, Image: r.Image}
	var err error
	if seen.Cluster, err = r.cluster(ctx, schedule.Namespace, schedule.Spec.ClusterName); err != nil {
		return seen, err
	}
	if seen.Cluster != nil {
		seen.Store = resources.SnapshotStore(seen.Cluster)
	}
	if seen.Deleting, err = r.read(ctx, deletingOf(schedule), schedule.UID); err != nil {
		return seen, err
	}
	var all v1alpha1.ConsulSnapshotList
	if err := r.List(ctx, &all, client.InNamespace(schedule.Namespace),
		client.MatchingLabels{v1alpha1.LabelSchedule: schedule.Name}); err != nil {
		return seen, fmt.Errorf("listing ConsulSnapshots: %w", err)
	}
	seen.Snapshots = slices.DeleteFunc(all.Items, func(s v1alpha1.ConsulSnapshot) bool { return !backup.IsOf(schedule, s) })
	slices.SortFunc(seen.Snapshots, backup.NewestFirst)
	var restores v1alpha1.ConsulRestoreList
	if err := r.List(ctx, &restores, client.InNamespace(schedule.Namespace)); err != nil {
		return seen, fmt.Errorf("listing ConsulRestores: %w", err)
	}
	seen.Restores = restores.Items
	return seen, nil
}

func deletingOf(schedule *v1alpha1.ConsulSnapshotSchedule) client.ObjectKey {
	return client.ObjectKey{Namespace: schedule.Namespace, Name: schedule.Name + "-delete"}
}

// execute does what was decided. ConsulSnapshots that tell of an object go after the object, and the Job that deleted it goes
// last.
func (r *ConsulSnapshotScheduleReconciler) execute(
	ctx context.Context, seen *backup.ScheduleObservation, d backup.ScheduleDecision,
) error {
	for _, s := range d.Replace {
		if err := r.replace(ctx, &s, d.Take); err != nil {
			return err
		}
	}
	for _, s := range d.Forget {
		if err := r.deleteSeen(ctx, &s); err != nil {
			return err
		}
	}
	var errs []error
	if !d.Take.IsZero() {
		errs = append(errs, r.take(ctx, seen.Schedule, d.Take))
	}
	if len(d.Delete) > 0 {
		known, err := r.create(ctx, r.deletingJob(*seen, d.Delete), seen.Schedule.UID)
		seen.Deleting.Taken, seen.Deleting.Refused = known.Taken, known.Refused
		errs = append(errs, err)
	}
	if d.EndDeleting {
		errs = append(errs, r.end(ctx, deletingOf(seen.Schedule), seen.Schedule.UID))
	}
	return errors.Join(errs...)
}

// replace says that a snapshot makes room for the next run of its schedule.
func (r *ConsulSnapshotScheduleReconciler) replace(ctx context.Context, s *v1alpha1.ConsulSnapshot, by time.Time) error {
	changed := s.DeepCopy()
	metav1.SetMetaDataAnnotation(&changed.ObjectMeta, v1alpha1.AnnotationReplaced, by.UTC().Format(time.RFC3339))
	return client.IgnoreNotFound(r.Patch(ctx, changed, client.MergeFromWithOptions(s, client.MergeFromWithOptimisticLock{})))
}

// deleteSeen deletes an object as it was seen.
func (j jobs) deleteSeen(ctx context.Context, o client.Object) error {
	uid, version := o.GetUID(), o.GetResourceVersion()
	return client.IgnoreNotFound(j.Delete(ctx, o, client.Preconditions{UID: &uid, ResourceVersion: &version}))
}

// take creates the ConsulSnapshot for a time of the schedule.
func (r *ConsulSnapshotScheduleReconciler) take(
	ctx context.Context, schedule *v1alpha1.ConsulSnapshotSchedule, at time.Time,
) error {
	err := r.Create(ctx, &v1alpha1.ConsulSnapshot{
		ObjectMeta: metav1.ObjectMeta{
			Name: backup.SnapshotName(schedule.Name, at), Namespace: schedule.Namespace,
			Labels:      map[string]string{v1alpha1.LabelSchedule: schedule.Name},
			Annotations: map[string]string{v1alpha1.AnnotationScheduledAt: at.UTC().Format(time.RFC3339)},
		},
		Spec: v1alpha1.ConsulSnapshotSpec{ClusterName: schedule.Spec.ClusterName, Verify: schedule.Spec.Verify},
	})
	if apierrors.IsAlreadyExists(err) { // the cache does not have it yet
		return nil
	}
	return err
}

// deletingJob is the Job that deletes the objects of snapshots.
func (r *ConsulSnapshotScheduleReconciler) deletingJob(
	seen backup.ScheduleObservation, old []v1alpha1.ConsulSnapshot,
) *batchv1.Job {
	var objects []string
	for _, s := range old {
		objects = append(objects, s.Status.Object)
	}
	return resources.SnapshotJob(seen.Cluster, resources.SnapshotTask{
		Name:      deletingOf(seen.Schedule).Name,
		Owner:     *metav1.NewControllerRef(seen.Schedule, v1alpha1.GroupVersion.WithKind("ConsulSnapshotSchedule")),
		Container: resources.ContainerDelete,
		Objects:   objects,
		Within:    deleteWithin,
		Image:     r.Image,
	})
}

// report writes the status if it differs from the last one.
func (r *ConsulSnapshotScheduleReconciler) report(
	ctx context.Context, seen backup.ScheduleObservation, d backup.ScheduleDecision,
) error {
	changed := seen.Schedule.DeepCopy()
	changed.Status = backup.ScheduleStatus(seen, d)
	if equality.Semantic.DeepEqual(seen.Schedule.Status, changed.Status) {
		return nil
	}
	return client.IgnoreNotFound(r.Status().Patch(ctx, changed, client.MergeFrom(seen.Schedule)))
}
