package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// Endpoints are the addresses, host:port, to which the client Service sends new connections now.
type Endpoints interface {
	Addresses() []string
}

// Static is a fixed list of endpoints.
type Static []string

// Addresses returns the list.
func (s Static) Addresses() []string { return s }

var errNoEndpoint = errors.New(ClassNoEndpoint)

// Pick chooses as kube-proxy does: at random.
func Pick(endpoints Endpoints) (string, error) {
	addresses := endpoints.Addresses()
	if len(addresses) == 0 {
		return "", errNoEndpoint
	}
	return addresses[rand.IntN(len(addresses))], nil
}

// ServiceEndpoints follows the EndpointSlices of a Service.
type ServiceEndpoints struct {
	port  string
	store cache.Store

	mu        sync.RWMutex
	addresses []string
}

// WatchService follows the ready endpoints of a Service's named port until the context ends.
func WatchService(ctx context.Context, config *rest.Config, namespace, service, port string) (*ServiceEndpoints, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.LabelSelector = discoveryv1.LabelServiceName + "=" + service
		}))
	informer := factory.Discovery().V1().EndpointSlices().Informer()
	s := &ServiceEndpoints{port: port, store: informer.GetStore()}
	handle, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { s.refresh() },
		UpdateFunc: func(any, any) { s.refresh() },
		DeleteFunc: func(any) { s.refresh() },
	})
	if err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), handle.HasSynced) {
		return nil, fmt.Errorf("endpoints of Service %s/%s: %w", namespace, service, ctx.Err())
	}
	return s, nil
}

// Addresses returns the ready endpoints.
func (s *ServiceEndpoints) Addresses() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.addresses
}

func (s *ServiceEndpoints) refresh() {
	var addresses []string
	for _, object := range s.store.List() {
		if slice, ok := object.(*discoveryv1.EndpointSlice); ok {
			addresses = append(addresses, ReadyAddresses(slice, s.port)...)
		}
	}
	slices.Sort(addresses)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addresses = slices.Compact(addresses)
}

// ReadyAddresses are the endpoints of the named port that are ready and not terminating, as kube-proxy uses them.
func ReadyAddresses(slice *discoveryv1.EndpointSlice, port string) []string {
	number := int32(0)
	for _, p := range slice.Ports {
		if p.Port != nil && p.Name != nil && *p.Name == port {
			number = *p.Port
		}
	}
	if number == 0 {
		return nil
	}
	var addresses []string
	for _, endpoint := range slice.Endpoints {
		ready, terminating := endpoint.Conditions.Ready, endpoint.Conditions.Terminating
		// A missing condition means ready, and not terminating.
		if ready != nil && !*ready || terminating != nil && *terminating {
			continue
		}
		for _, address := range endpoint.Addresses {
			addresses = append(addresses, net.JoinHostPort(address, strconv.Itoa(int(number))))
		}
	}
	return addresses
}
