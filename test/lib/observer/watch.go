package observer

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

// watched is a kind of object that is followed, and which of them.
type watched struct {
	resource schema.GroupVersionResource
	labels   string
	fields   string
	// see takes in an object, or its being gone.
	see func(ctx context.Context, o *Observer, object *unstructured.Unstructured, gone bool)
}

// kinds lists what is followed: what is needed to observe, and all else that belongs to a cluster, since in an idle
// cluster none of it may be written.
func kinds(name string) []watched {
	ofCluster := v1alpha1.LabelCluster + "=" + name
	ofService := discoveryv1.LabelServiceName + "=" + name
	ignore := func(context.Context, *Observer, *unstructured.Unstructured, bool) {}
	v1 := func(group, resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}
	}
	return []watched{
		{resource: v1("", "persistentvolumeclaims"), labels: ofCluster, see: seeClaim},
		{resource: v1("", "pods"), labels: ofCluster, see: seePod},
		{resource: v1("discovery.k8s.io", "endpointslices"), labels: ofService, see: seeEndpoints},
		{resource: v1alpha1.GroupVersion.WithResource("consulclusters"), fields: "metadata.name=" + name, see: seeCluster},
		{resource: v1("", "events"), fields: "involvedObject.kind=ConsulCluster,involvedObject.name=" + name, see: seeEvent},
		{resource: v1("", "services"), labels: ofCluster, see: ignore},
		{resource: v1("", "configmaps"), labels: ofCluster, see: ignore},
		{resource: v1("", "secrets"), labels: ofCluster, see: ignore},
		{resource: v1("", "serviceaccounts"), labels: ofCluster, see: ignore},
		{resource: v1("policy", "poddisruptionbudgets"), labels: ofCluster, see: ignore},
	}
}

func (o *Observer) watch(ctx context.Context, config *rest.Config) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	for _, kind := range kinds(o.key.Name) {
		informer := dynamicinformer.NewFilteredDynamicInformer(client, kind.resource, o.key.Namespace, 0, cache.Indexers{},
			func(options *metav1.ListOptions) {
				options.LabelSelector, options.FieldSelector = kind.labels, kind.fields
			}).Informer()
		see := func(object any, gone bool) {
			if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			if u, ok := object.(*unstructured.Unstructured); ok {
				o.countWrite(kind.resource.Resource, u)
				kind.see(ctx, o, u, gone)
			}
		}
		handle, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { see(object, false) },
			UpdateFunc: func(_, object any) { see(object, false) },
			DeleteFunc: func(object any) { see(object, true) },
		})
		if err != nil {
			return err
		}
		o.polls.Go(func() { informer.Run(ctx.Done()) })
		synced, cancel := context.WithTimeout(ctx, 30*time.Second)
		ok := cache.WaitForCacheSync(synced.Done(), handle.HasSynced)
		cancel()
		if !ok {
			return fmt.Errorf("cannot watch %s", kind.resource.Resource)
		}
	}
	return nil
}

// typed converts, and panics on an object that is not what the API server said it is.
func typed[T any](u *unstructured.Unstructured) *T {
	into := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into); err != nil {
		panic(fmt.Sprintf("%s %s: %v", u.GetKind(), u.GetName(), err))
	}
	return into
}

// serverOf is the server that a pod belongs to; pods that are not the operator's are servers by their own name.
func serverOf(u *unstructured.Unstructured) string {
	if name := u.GetLabels()[v1alpha1.LabelServer]; name != "" {
		return name
	}
	return u.GetName()
}

func seePod(ctx context.Context, o *Observer, u *unstructured.Unstructured, gone bool) {
	pod, name := typed[corev1.Pod](u), serverOf(u)
	var addresses []string
	for _, ip := range pod.Status.PodIPs {
		addresses = append(addresses, ip.IP)
	}
	o.update(func(m *model, now time.Time) {
		if gone {
			m.podGone(now, name, string(pod.UID))
			return
		}
		m.podSeen(now, name, string(pod.UID), addresses, pod.DeletionTimestamp != nil)
	})
	o.follow(ctx, name, pod, gone)
}

func seeClaim(_ context.Context, o *Observer, u *unstructured.Unstructured, gone bool) {
	name := u.GetLabels()[v1alpha1.LabelServer]
	if name == "" {
		return // A StatefulSet's claim: it stays when its pod goes, and says nothing of it.
	}
	_, retiring := u.GetAnnotations()[v1alpha1.AnnotationRetiring]
	o.update(func(m *model, now time.Time) {
		if gone {
			m.claimGone(now, name)
			return
		}
		m.claimSeen(now, name, retiring, u.GetDeletionTimestamp() != nil)
	})
}

func seeEndpoints(_ context.Context, o *Observer, u *unstructured.Unstructured, gone bool) {
	slice := typed[discoveryv1.EndpointSlice](u)
	var addresses []string
	if !gone {
		for _, address := range load.ReadyAddresses(slice, o.options.Access.Scheme()) {
			addresses = append(addresses, hostOf(address))
		}
	}
	o.update(func(m *model, now time.Time) { m.endpoints(now, slice.Name, addresses) })
}

func seeCluster(_ context.Context, o *Observer, u *unstructured.Unstructured, _ bool) {
	cluster := typed[v1alpha1.ConsulCluster](u)
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, condition := range cluster.Status.Conditions {
		if condition.Type == v1alpha1.ConditionReady {
			o.status = operatorStatus{
				reason: condition.Reason, message: condition.Message,
				ready: condition.Status == metav1.ConditionTrue && cluster.Status.ObservedGeneration == cluster.Generation,
			}
		}
	}
}

func seeEvent(_ context.Context, o *Observer, u *unstructured.Unstructured, gone bool) {
	event := typed[corev1.Event](u)
	if gone {
		return
	}
	// Whichever API it came through, one of these says when it happened.
	happened := event.EventTime.Time
	for _, at := range []time.Time{event.FirstTimestamp.Time, event.LastTimestamp.Time} {
		if at.After(happened) {
			happened = at
		}
	}
	if event.Series != nil && event.Series.LastObservedTime.After(happened) {
		happened = event.Series.LastObservedTime.Time
	}
	o.update(func(m *model, now time.Time) {
		if happened.Before(m.start.Truncate(time.Second)) {
			return
		}
		m.event(Event{At: now, Type: event.Type, Reason: event.Reason, Message: event.Message})
	})
}
