package controllers

import (
	"context"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// setupConsulSnapshot adds the controller of ConsulSnapshots to a manager. One that is completed makes room for the next one.
func setupConsulSnapshot(mgr manager.Manager, options Options) error {
	reconciler := &ConsulSnapshotReconciler{
		jobs: jobs{mgr.GetClient(), mgr.GetAPIReader()}, Events: mgr.GetEventRecorder("consul-operator"),
		Image: options.Image, Now: time.Now,
	}
	siblings := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		return snapshotsOf(ctx, mgr.GetClient(), o.GetNamespace(), o.(*v1alpha1.ConsulSnapshot).Spec.ClusterName)
	})
	ofCluster := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		return snapshotsOf(ctx, mgr.GetClient(), o.GetNamespace(), o.GetName())
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("consulsnapshot").
		For(&v1alpha1.ConsulSnapshot{}).
		Owns(&batchv1.Job{}).
		Watches(&v1alpha1.ConsulSnapshot{}, siblings).
		Watches(&v1alpha1.ConsulCluster{}, ofCluster, builder.WithPredicates( // the record of a restore is an annotation
			predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Complete(reconciler)
}

// snapshotsOf are the ConsulSnapshots of a cluster that are not completed.
func snapshotsOf(ctx context.Context, reader client.Reader, namespace, cluster string) []reconcile.Request {
	var all v1alpha1.ConsulSnapshotList
	if err := reader.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		log.FromContext(ctx).Error(err, "listing ConsulSnapshots")
		return nil
	}
	var requests []reconcile.Request
	for _, s := range all.Items {
		if s.Spec.ClusterName == cluster && s.Status.CompletedAt == nil {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&s)})
		}
	}
	return requests
}

// setupConsulSnapshotSchedule adds the controller of ConsulSnapshotSchedules to a manager.
func setupConsulSnapshotSchedule(mgr manager.Manager, options Options) error {
	reconciler := &ConsulSnapshotScheduleReconciler{
		jobs: jobs{mgr.GetClient(), mgr.GetAPIReader()}, Events: mgr.GetEventRecorder("consul-operator"),
		Image: options.Image, Now: time.Now,
	}
	bySchedule := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		name := o.GetLabels()[v1alpha1.LabelSchedule]
		if name == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
	})
	ofCluster := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		return schedulesOf(ctx, mgr.GetClient(), o)
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("consulsnapshotschedule").
		For(&v1alpha1.ConsulSnapshotSchedule{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&batchv1.Job{}).
		Watches(&v1alpha1.ConsulSnapshot{}, bySchedule).
		Watches(&v1alpha1.ConsulCluster{}, ofCluster, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(reconciler)
}

// schedulesOf are the ConsulSnapshotSchedules of a cluster.
func schedulesOf(ctx context.Context, reader client.Reader, cluster client.Object) []reconcile.Request {
	var all v1alpha1.ConsulSnapshotScheduleList
	if err := reader.List(ctx, &all, client.InNamespace(cluster.GetNamespace())); err != nil {
		log.FromContext(ctx).Error(err, "listing ConsulSnapshotSchedules")
		return nil
	}
	var requests []reconcile.Request
	for _, s := range all.Items {
		if s.Spec.ClusterName == cluster.GetName() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&s)})
		}
	}
	return requests
}

// setupConsulRestore adds the controller of ConsulRestores to a manager. They follow the records and the status of their cluster.
func setupConsulRestore(mgr manager.Manager, options Options) error {
	reconciler := &ConsulRestoreReconciler{
		jobs: jobs{mgr.GetClient(), mgr.GetAPIReader()}, Events: mgr.GetEventRecorder("consul-operator"),
		Image: options.Image, Now: time.Now,
	}
	ofCluster := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		return restoresOf(ctx, mgr.GetClient(), o.GetNamespace(), func(r v1alpha1.ConsulRestore) bool {
			return r.Spec.ClusterName == o.GetName()
		})
	})
	ofSnapshot := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		return restoresOf(ctx, mgr.GetClient(), o.GetNamespace(), func(r v1alpha1.ConsulRestore) bool {
			return r.Spec.From.SnapshotName == o.GetName() || resources.RecordOfRestore(&r).SnapshotBefore() == o.GetName()
		})
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("consulrestore").
		For(&v1alpha1.ConsulRestore{}).
		Owns(&batchv1.Job{}).
		Watches(&v1alpha1.ConsulSnapshot{}, ofSnapshot).
		Watches(&v1alpha1.ConsulCluster{}, ofCluster).
		Complete(reconciler)
}

// restoresOf are the ConsulRestores that are not completed and match.
func restoresOf(
	ctx context.Context, reader client.Reader, namespace string, matches func(v1alpha1.ConsulRestore) bool,
) []reconcile.Request {
	var all v1alpha1.ConsulRestoreList
	if err := reader.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		log.FromContext(ctx).Error(err, "listing ConsulRestores")
		return nil
	}
	var requests []reconcile.Request
	for _, r := range all.Items {
		if r.Status.CompletedAt == nil && matches(r) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&r)})
		}
	}
	return requests
}
