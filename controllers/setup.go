package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	"sigs.k8s.io/controller-runtime/pkg/log"
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
		&corev1.Node{}:                  {Transform: stripNode},
		&corev1.Pod{}:                   only,
		&corev1.PersistentVolumeClaim{}: only,
		&corev1.Secret{}:                only,
		&corev1.Service{}:               only,
		&corev1.ServiceAccount{}:        only,
		&policyv1.PodDisruptionBudget{}: only,
		&discoveryv1.EndpointSlice{}:    only,
	}
}

// stripNode keeps of a node what tells whether it takes pods.
func stripNode(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion},
		Spec:       corev1.NodeSpec{Unschedulable: node.Spec.Unschedulable, Taints: node.Spec.Taints},
	}, nil
}

// Options of the reconciler.
type Options struct {
	// Concurrent is how many clusters are looked at at the same time.
	Concurrent int
	// Nodes is set if the operator may read nodes, and so sees which of them are drained.
	Nodes bool
}

// SetupWithManager wires the reconciler into a manager.
func SetupWithManager(mgr manager.Manager, dial consul.Dialer, options Options) error {
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
		Observer: &observe.Observer{Reader: mgr.GetClient(), Nodes: options.Nodes, Dial: dial, Now: time.Now},
		Executor: &execute.Executor{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Dial: dial, Now: time.Now},
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
		Watches(&corev1.Pod{}, byLabel).
		Watches(&corev1.PersistentVolumeClaim{}, byLabel).
		Watches(&corev1.Secret{}, byLabel).
		Watches(&corev1.Service{}, byLabel).
		Watches(&corev1.ServiceAccount{}, byLabel).
		Watches(&policyv1.PodDisruptionBudget{}, byLabel).
		Watches(&discoveryv1.EndpointSlice{}, byLabel).
		WatchesRawSource(source.TypedChannel(woken, byName)).
		WithOptions(controller.Options{MaxConcurrentReconciles: options.Concurrent})
	if options.Nodes {
		build = build.Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(clustersOn(mgr.GetClient())),
			builder.WithPredicates(predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
				return observe.Cordoned(e.ObjectOld.(*corev1.Node)) != observe.Cordoned(e.ObjectNew.(*corev1.Node))
			}}))
	}
	return build.Complete(reconciler)
}

// clustersOn are the clusters that have a server on a node.
func clustersOn(reader client.Reader) handler.MapFunc {
	return func(ctx context.Context, node client.Object) []reconcile.Request {
		var pods corev1.PodList // of ours, from the cache
		if err := reader.List(ctx, &pods); err != nil {
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

// clusterOf is the cluster that an object is labeled with.
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
