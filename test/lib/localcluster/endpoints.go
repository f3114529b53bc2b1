package localcluster

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

// endpoints stands in for the endpoint slice controller, by its rules for ready, serving and terminating. The real one
// cannot be used: kube-apiserver refuses loopback addresses in slices of IPv4 addresses. It accepts them in slices of
// names, as 127.1.2.3 is a well-formed one, so these slices have the address type FQDN.
type endpoints struct {
	*loop
	client   kubernetes.Interface
	services corelisters.ServiceLister
	pods     corelisters.PodLister
	nodes    corelisters.NodeLister
	slices   discoverylisters.EndpointSliceLister
}

// managedByEndpointSlices is what the real controller puts on its slices; clients select by it.
const managedByEndpointSlices = "endpointslice-controller.k8s.io"

func newEndpoints(c *Cluster, factory informers.SharedInformerFactory) *endpoints {
	e := &endpoints{
		client:   c.client,
		services: factory.Core().V1().Services().Lister(),
		pods:     factory.Core().V1().Pods().Lister(),
		nodes:    factory.Core().V1().Nodes().Lister(),
		slices:   factory.Discovery().V1().EndpointSlices().Lister(),
	}
	e.loop = newLoop("endpoints", c.log, e.syncService)
	onChange(factory.Core().V1().Services().Informer(), e.put)
	onChange(factory.Discovery().V1().EndpointSlices().Informer(), func(obj any) {
		slice := obj.(*discoveryv1.EndpointSlice)
		if name := slice.Labels[discoveryv1.LabelServiceName]; name != "" {
			e.queue.Add(slice.Namespace + "/" + name)
		}
	})
	_, _ = factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { e.podChanged(obj) },
		UpdateFunc: func(before, after any) {
			e.podChanged(before) // its labels may have selected other Services
			e.podChanged(after)
		},
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = tombstone.Obj
			}
			e.podChanged(obj)
		},
	})
	return e
}

func (e *endpoints) podChanged(obj any) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return
	}
	services, _ := e.services.Services(pod.Namespace).List(labels.Everything())
	for _, service := range services {
		if selects(service, pod) {
			e.put(service)
		}
	}
}

func selects(service *corev1.Service, pod *corev1.Pod) bool {
	return len(service.Spec.Selector) > 0 && labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels))
}

func (e *endpoints) syncService(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	service, err := e.services.Services(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return nil // the garbage collector takes the slices
	}
	if err != nil || len(service.Spec.Selector) == 0 || service.DeletionTimestamp != nil {
		return err
	}
	want, err := e.wanted(service)
	if err != nil {
		return err
	}
	return e.apply(ctx, service, want)
}

// wanted computes the slices of a Service: one for each set of ports its pods resolve to, always at least one.
func (e *endpoints) wanted(service *corev1.Service) (map[string]*discoveryv1.EndpointSlice, error) {
	pods, err := e.pods.Pods(service.Namespace).List(labels.SelectorFromSet(service.Spec.Selector))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	want := map[string]*discoveryv1.EndpointSlice{}
	byPorts := map[string]*discoveryv1.EndpointSlice{}
	for _, pod := range pods {
		if pod.Status.PodIP == "" || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		ports := resolvePorts(service, pod)
		slice := byPorts[portsKey(ports)]
		if slice == nil {
			slice = newSlice(service, len(byPorts), ports)
			byPorts[portsKey(ports)], want[slice.Name] = slice, slice
		}
		slice.Endpoints = append(slice.Endpoints, e.endpointOf(service, pod))
	}
	if len(want) == 0 {
		slice := newSlice(service, 0, nil)
		want[slice.Name] = slice
	}
	return want, nil
}

func (e *endpoints) endpointOf(service *corev1.Service, pod *corev1.Pod) discoveryv1.Endpoint {
	serving, terminating := podIsReady(pod), pod.DeletionTimestamp != nil
	ready := service.Spec.PublishNotReadyAddresses || (serving && !terminating)
	endpoint := discoveryv1.Endpoint{
		Addresses:  []string{pod.Status.PodIP},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		NodeName:   &pod.Spec.NodeName,
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	if pod.Spec.Hostname != "" && pod.Spec.Subdomain == service.Name {
		endpoint.Hostname = &pod.Spec.Hostname
	}
	if node, err := e.nodes.Get(pod.Spec.NodeName); err == nil {
		if zone := node.Labels[corev1.LabelTopologyZone]; zone != "" {
			endpoint.Zone = &zone
		}
	}
	return endpoint
}

func newSlice(service *corev1.Service, index int, ports []discoveryv1.EndpointPort) *discoveryv1.EndpointSlice {
	all := maps.Clone(service.Labels)
	if all == nil {
		all = map[string]string{}
	}
	all[discoveryv1.LabelServiceName] = service.Name
	all[discoveryv1.LabelManagedBy] = managedByEndpointSlices
	if service.Spec.ClusterIP == corev1.ClusterIPNone {
		all[corev1.IsHeadlessService] = ""
	}
	owner := metav1.NewControllerRef(service, corev1.SchemeGroupVersion.WithKind("Service"))
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: service.Namespace, Name: fmt.Sprintf("%s-%d", service.Name, index),
			Labels: all, OwnerReferences: []metav1.OwnerReference{*owner},
		},
		AddressType: discoveryv1.AddressTypeFQDN,
		Ports:       ports,
	}
}

// resolvePorts looks up the target ports of a Service in a pod; one the pod does not name is left out.
func resolvePorts(service *corev1.Service, pod *corev1.Pod) []discoveryv1.EndpointPort {
	var ports []discoveryv1.EndpointPort
	for i := range service.Spec.Ports {
		port := &service.Spec.Ports[i]
		number, ok := targetPort(port, pod)
		if !ok {
			continue
		}
		ports = append(ports, discoveryv1.EndpointPort{
			Name: &port.Name, Port: &number, Protocol: &port.Protocol, AppProtocol: port.AppProtocol,
		})
	}
	return ports
}

func targetPort(port *corev1.ServicePort, pod *corev1.Pod) (int32, bool) {
	switch {
	case port.TargetPort.Type == intstr.Int && port.TargetPort.IntVal != 0:
		return port.TargetPort.IntVal, true
	case port.TargetPort.Type == intstr.Int:
		return port.Port, true
	}
	for _, container := range pod.Spec.Containers {
		for _, p := range container.Ports {
			if p.Name == port.TargetPort.StrVal && p.Protocol == port.Protocol {
				return p.ContainerPort, true
			}
		}
	}
	return 0, false
}

func portsKey(ports []discoveryv1.EndpointPort) string {
	key := ""
	for _, p := range ports {
		key += fmt.Sprintf("%s/%d/%s ", *p.Name, *p.Port, *p.Protocol)
	}
	return key
}

// apply writes only what differs. The lister may lag behind our own writes: then the API server says so, and we
// look again.
func (e *endpoints) apply(ctx context.Context, service *corev1.Service, want map[string]*discoveryv1.EndpointSlice) error {
	have, err := e.slices.EndpointSlices(service.Namespace).List(labels.SelectorFromSet(labels.Set{
		discoveryv1.LabelServiceName: service.Name, discoveryv1.LabelManagedBy: managedByEndpointSlices,
	}))
	if err != nil {
		return err
	}
	api := e.client.DiscoveryV1().EndpointSlices(service.Namespace)
	missing := maps.Clone(want)
	for _, slice := range have {
		wanted, ok := want[slice.Name]
		delete(missing, slice.Name)
		if !ok {
			if err := api.Delete(ctx, slice.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
			continue
		}
		if equality.Semantic.DeepEqual(slice.Endpoints, wanted.Endpoints) &&
			equality.Semantic.DeepEqual(slice.Ports, wanted.Ports) && maps.Equal(slice.Labels, wanted.Labels) {
			continue
		}
		update := slice.DeepCopy()
		update.Endpoints, update.Ports, update.Labels = wanted.Endpoints, wanted.Ports, wanted.Labels
		if _, err := api.Update(ctx, update, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	for _, slice := range missing {
		if _, err := api.Create(ctx, slice, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func podIsReady(pod *corev1.Pod) bool {
	return conditionTrue(pod, corev1.PodReady)
}

func conditionTrue(pod *corev1.Pod, kind corev1.PodConditionType) bool {
	i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
	return i >= 0 && pod.Status.Conditions[i].Status == corev1.ConditionTrue
}
