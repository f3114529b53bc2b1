package plugin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// pods are the pods of the cluster's servers, which are those behind the Service through which servers join.
func (s *session) pods(ctx context.Context) ([]corev1.Pod, error) {
	c := &v1alpha1.ConsulCluster{}
	c.Name = s.key.Name
	var pods corev1.PodList
	err := s.client.List(ctx, &pods, client.InNamespace(s.key.Namespace), client.MatchingLabels(resources.Selector(c)))
	return pods.Items, explained(err)
}

// podOf is the pod of this server, or if none is named, the best one to talk to.
func (s *session) podOf(ctx context.Context, server string) (*corev1.Pod, error) {
	pods, err := s.pods(ctx)
	if err != nil {
		return nil, err
	}
	if server != "" {
		return named(pods, server)
	}
	c, err := s.cluster(ctx)
	if err != nil {
		return nil, err
	}
	return best(pods, c)
}

// named is the pod of a server.
func named(pods []corev1.Pod, server string) (*corev1.Pod, error) {
	i := slices.IndexFunc(pods, func(pod corev1.Pod) bool { return pod.Name == server })
	if i < 0 {
		return nil, fmt.Errorf("there is no server %s; there are: %s", server, dash(strings.Join(podNames(pods), ", ")))
	}
	if !runs(&pods[i]) {
		return nil, fmt.Errorf("server %s does not run now; why, this says: kubectl describe pod %s -n %s",
			server, server, pods[i].Namespace)
	}
	return &pods[i], nil
}

// best is the pod of the leader, or else of another server that runs: rather one that is ready, and that is to stay.
func best(pods []corev1.Pod, c *v1alpha1.ConsulCluster) (*corev1.Pod, error) {
	running := slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool { return !runs(&pod) })
	if len(running) == 0 {
		return nil, fmt.Errorf("no server of %s runs now; why, this says: kubectl consul explain %s -n %s", c.Name, c.Name, c.Namespace)
	}
	pod := slices.MaxFunc(running, func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(worth(&a, c.Status.Leader), worth(&b, c.Status.Leader)),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time), // an upgrade replaces the oldest first
			cmp.Compare(a.Name, b.Name))
	})
	return &pod, nil
}

// worth is higher for a pod that is better to talk to.
func worth(pod *corev1.Pod, leader string) int {
	switch {
	case isGoing(pod):
		return 0
	case !isPodReady(pod):
		return 1
	case pod.Name != leader:
		return 2
	}
	return 3 // it is the last one that an upgrade replaces
}

// isGoing reports whether a pod is being deleted.
func isGoing(pod *corev1.Pod) bool { return pod.DeletionTimestamp != nil }

func isPodReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// runs reports whether Consul runs in a pod.
func runs(pod *corev1.Pod) bool { return consulIn(pod).State.Running != nil }

// consulIn is how Consul's container is.
func consulIn(pod *corev1.Pod) corev1.ContainerStatus {
	for _, container := range pod.Status.ContainerStatuses {
		if container.Name == resources.ContainerConsul {
			return container
		}
	}
	return corev1.ContainerStatus{}
}

func podNames(pods []corev1.Pod) []string {
	var names []string
	for _, pod := range pods {
		names = append(names, pod.Name)
	}
	slices.Sort(names)
	return names
}

// core asks for what a client of objects does not have: logs, commands and ports of pods.
func (s *session) core() (*rest.RESTClient, error) {
	config := rest.CopyConfig(s.config)
	config.APIPath, config.GroupVersion = "/api", &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = clientgoscheme.Codecs.WithoutConversion()
	return rest.RESTClientFor(config)
}
