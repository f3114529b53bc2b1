package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/execute"
	"github.com/consul-operator/consul-operator/internal/observe"
)

// CacheByObject keeps only the operator's own objects in memory, whatever else the namespaces hold. EndpointSlices
// carry the labels of their Service.
func CacheByObject() map[client.Object]cache.ByObject {
	ours, err := labels.Parse(v1alpha1.LabelCluster)
	if err != nil {
		panic(err) // a constant
	}
	only := cache.ByObject{Label: ours}
	return map[client.Object]cache.ByObject{
		&corev1.Pod{}:                   only,
		&corev1.PersistentVolumeClaim{}: only,
		&corev1.Secret{}:                only,
		&corev1.Service{}:               only,
		&corev1.ServiceAccount{}:        only,
		&policyv1.PodDisruptionBudget{}: only,
		&discoveryv1.EndpointSlice{}:    only,
	}
}

// SetupWithManager wires the reconciler into a manager.
func SetupWithManager(mgr manager.Manager, dial consul.Dialer, concurrent int) error {
	woken := make(chan event.TypedGenericEvent[types.NamespacedName], 64)
	wake := func(cluster types.NamespacedName) {
		woken <- event.TypedGenericEvent[types.NamespacedName]{Object: cluster}
	}
	watcher := consul.NewWatcher(dial, wake, mgr.GetLogger().WithName("watcher"))
	if err := mgr.Add(watcher); err != nil {
		return err
	}
	reconciler := &ConsulClusterReconciler{
		Client:   mgr.GetClient(),
		Observer: &observe.Observer{Reader: mgr.GetClient(), Dial: dial, Now: time.Now},
		Executor: &execute.Executor{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Dial: dial, Now: time.Now},
		Watcher:  watcher,
		Events:   mgr.GetEventRecorder("consul-operator"),
		Now:      time.Now,
	}
	byLabel := handler.EnqueueRequestsFromMapFunc(clusterOf)
	byName := handler.TypedFuncs[types.NamespacedName, reconcile.Request]{GenericFunc: enqueue}
	return ctrl.NewControllerManagedBy(mgr).
		Named("consulcluster").
		For(&v1alpha1.ConsulCluster{}, builder.WithPredicates(
			predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&corev1.Pod{}, byLabel).
		Watches(&corev1.PersistentVolumeClaim{}, byLabel).
		Watches(&corev1.Secret{}, byLabel).
		Watches(&corev1.Service{}, byLabel).
		Watches(&corev1.ServiceAccount{}, byLabel).
		Watches(&policyv1.PodDisruptionBudget{}, byLabel).
		Watches(&discoveryv1.EndpointSlice{}, byLabel).
		WatchesRawSource(source.TypedChannel(woken, byName)).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrent}).
		Complete(reconciler)
}

// clusterOf is the cluster that an object is labelled with.
func clusterOf(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetLabels()[v1alpha1.LabelCluster]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
}

func enqueue(
	_ context.Context, woken event.TypedGenericEvent[types.NamespacedName],
	queue workqueue.TypedRateLimitingInterface[reconcile.Request],
) {
	queue.Add(reconcile.Request{NamespacedName: woken.Object})
}
