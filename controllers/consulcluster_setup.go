package controllers

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/execute"
	ourmetrics "github.com/consul-operator/consul-operator/internal/metrics"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/internal/volumes"
)

// A reconcile that could not read or write the API server is repeated after a pause, which doubles from the first to the last.
const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 30 * time.Second
)

// setupConsulCluster adds the controller of ConsulClusters to a manager.
func setupConsulCluster(mgr manager.Manager, options Options) error {
	dial := options.Dial
	woken := make(chan event.TypedGenericEvent[types.NamespacedName], 64)
	wake := func(cluster types.NamespacedName) {
		woken <- event.TypedGenericEvent[types.NamespacedName]{Object: cluster}
	}
	watcher := consul.NewWatcher(dial, wake, mgr.GetLogger().WithName("watcher"))
	if err := mgr.Add(watcher); err != nil {
		return err
	}
	if err := addIndexes(mgr.GetFieldIndexer()); err != nil {
		return err
	}
	cached, live := indexed{mgr.GetClient()}, mgr.GetAPIReader()
	observer := &observe.Observer{
		Reader: cached, Live: live, SecretDelay: options.SecretDelay, Nodes: options.Nodes, Self: options.Self,
		Dial: dial, Now: time.Now,
	}
	if err := watchVolumes(mgr, options, observer, wake); err != nil {
		return err
	}
	if err := metrics.Registry.Register(ourmetrics.Collector{Reader: mgr.GetClient(), Now: time.Now}); err != nil {
		return err
	}
	reconciler := &ConsulClusterReconciler{
		Client: cached, Observer: observer,
		Executor: &execute.Executor{Client: cached, Live: live, Self: options.Self, Dial: dial, Now: time.Now},
		Watcher:  watcher,
		Events:   mgr.GetEventRecorder("consul-operator"),
		Now:      time.Now,
	}
	byLabel := handler.EnqueueRequestsFromMapFunc(clusterOf)
	byName := handler.TypedFuncs[types.NamespacedName, reconcile.Request]{GenericFunc: enqueue}
	build := ctrl.NewControllerManagedBy(mgr).
		Named("consulcluster").
		For(&v1alpha1.ConsulCluster{}, builder.WithPredicates(
			predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&v1alpha1.ConsulRestore{}, handler.EnqueueRequestsFromMapFunc(clusterToRestore)).
		Watches(&corev1.Pod{}, byLabel).
		Watches(&corev1.PersistentVolumeClaim{}, byLabel).
		Watches(&corev1.Secret{}, byLabel).
		Watches(&corev1.Service{}, byLabel).
		Watches(&corev1.ServiceAccount{}, byLabel).
		Watches(&networkingv1.NetworkPolicy{}, byLabel).
		Watches(&policyv1.PodDisruptionBudget{}, byLabel).
		Watches(&discoveryv1.EndpointSlice{}, byLabel).
		WatchesRawSource(source.TypedChannel(woken, byName)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: options.Concurrent,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryFirst, retryLast),
		})
	if options.Nodes {
		build = build.Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(clustersOn(mgr.GetClient())),
			builder.WithPredicates(predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
				return resources.Cordoned(e.ObjectOld.(*corev1.Node)) != resources.Cordoned(e.ObjectNew.(*corev1.Node))
			}}))
	}
	return build.Complete(reconciler)
}

// watchVolumes has the observer know how full volumes are, if kubelets may be asked.
func watchVolumes(mgr manager.Manager, options Options, observer *observe.Observer, wake func(types.NamespacedName)) error {
	if options.Kubelets == nil {
		return nil
	}
	usages := &volumes.Watcher{Reader: mgr.GetClient(), Kubelets: options.Kubelets, Changed: wake}
	observer.Volumes = usages
	return errors.Join(mgr.Add(usages), metrics.Registry.Register(usages))
}

// clusterToRestore is the cluster of a ConsulRestore.
func clusterToRestore(_ context.Context, o client.Object) []reconcile.Request {
	restore := o.(*v1alpha1.ConsulRestore)
	return []reconcile.Request{{NamespacedName: types.NamespacedName{
		Namespace: restore.Namespace, Name: restore.Spec.ClusterName,
	}}}
}

// clustersOn are the clusters that have a server on a node.
func clustersOn(reader client.Reader) handler.MapFunc {
	return func(ctx context.Context, node client.Object) []reconcile.Request {
		var pods corev1.PodList // of ours, from the cache; they are not changed
		if err := reader.List(ctx, &pods, client.UnsafeDisableDeepCopy); err != nil {
			log.FromContext(ctx).Error(err, "listing pods")
			return nil
		}
		var requests []reconcile.Request
		for i := range pods.Items {
			if pods.Items[i].Spec.NodeName == node.GetName() {
				requests = append(requests, clusterOf(ctx, &pods.Items[i])...)
			}
		}
		return requests
	}
}

func enqueue(
	_ context.Context, woken event.TypedGenericEvent[types.NamespacedName],
	queue workqueue.TypedRateLimitingInterface[reconcile.Request],
) {
	queue.Add(reconcile.Request{NamespacedName: woken.Object})
}
