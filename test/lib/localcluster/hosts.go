package localcluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
)

// hosts is the cluster's DNS: a file `hosts` in the working directory of each container, with the names of the
// Services of its namespace. Programs for the local cluster are linked with `-X net.hostsFilePath=hosts`.
type hosts struct {
	*loop
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister

	mu   sync.Mutex
	dirs map[string]map[string]string // namespace → directory → the name of its pod's own line
	text map[string]string            // namespace → lines for its Services
}

func newHosts(c *Cluster, factory informers.SharedInformerFactory) *hosts {
	h := &hosts{
		services: factory.Core().V1().Services().Lister(),
		slices:   factory.Discovery().V1().EndpointSlices().Lister(),
		dirs:     map[string]map[string]string{},
		text:     map[string]string{},
	}
	h.loop = newLoop("hosts", c.log, h.syncNamespace)
	onChange(factory.Core().V1().Services().Informer(), func(obj any) { h.queue.Add(obj.(*corev1.Service).Namespace) })
	onChange(factory.Discovery().V1().EndpointSlices().Informer(), func(obj any) {
		h.queue.Add(obj.(*discoveryv1.EndpointSlice).Namespace)
	})
	return h
}

// add keeps a hosts file in dir from now on.
func (h *hosts) add(namespace, dir, podLines string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dirs[namespace] == nil {
		h.dirs[namespace] = map[string]string{}
	}
	h.dirs[namespace][dir] = podLines
	text, err := h.render(namespace)
	if err != nil {
		return err
	}
	return writeHosts(dir, podLines, text)
}

func (h *hosts) remove(namespace, dir string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.dirs[namespace], dir)
}

func (h *hosts) syncNamespace(_ context.Context, namespace string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	text, err := h.render(namespace)
	if err != nil || text == h.text[namespace] {
		return err
	}
	for dir, podLines := range h.dirs[namespace] {
		if err := writeHosts(dir, podLines, text); err != nil {
			return err
		}
	}
	h.text[namespace] = text
	return nil
}

// writeHosts replaces the file at once: a resolver never reads half of it.
func writeHosts(dir, podLines, text string) error {
	temporary := filepath.Join(dir, ".hosts.new")
	content := podLines + text
	if err := os.WriteFile(temporary, []byte(content), 0o644); err != nil { //nolint:gosec // readable like /etc/hosts
		return err
	}
	return os.Rename(temporary, filepath.Join(dir, "hosts"))
}

func (h *hosts) render(namespace string) (string, error) {
	services, err := h.services.Services(namespace).List(labels.Everything())
	if err != nil {
		return "", err
	}
	slices.SortFunc(services, func(a, b *corev1.Service) int { return strings.Compare(a.Name, b.Name) })
	var text strings.Builder
	for _, service := range services {
		if err := h.renderService(&text, service); err != nil {
			return "", err
		}
	}
	return text.String(), nil
}

func (h *hosts) renderService(text *strings.Builder, service *corev1.Service) error {
	all, err := h.slices.EndpointSlices(service.Namespace).List(labels.SelectorFromSet(labels.Set{
		discoveryv1.LabelServiceName: service.Name,
	}))
	if err != nil {
		return err
	}
	var lines []string
	for _, slice := range all {
		for i := range slice.Endpoints {
			lines = append(lines, endpointLines(service, &slice.Endpoints[i])...)
		}
	}
	if len(lines) == 0 {
		lines = nowhereLines(service)
	}
	slices.Sort(lines)
	for _, line := range slices.Compact(lines) {
		fmt.Fprintln(text, line)
	}
	return nil
}

// nowhereLines keep a name that has no endpoint on this machine.
func nowhereLines(service *corev1.Service) []string {
	families := service.Spec.IPFamilies
	if len(families) == 0 { // ExternalName
		families = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	lines := make([]string, 0, len(families))
	for _, family := range families {
		lines = append(lines, nowhere(family)+" "+serviceNames("", service))
	}
	return lines
}

// endpointLines publishes an endpoint as DNS does: when it is ready, and that includes unready pods of a Service with
// publishNotReadyAddresses.
func endpointLines(service *corev1.Service, endpoint *discoveryv1.Endpoint) []string {
	if endpoint.Conditions.Ready != nil && !*endpoint.Conditions.Ready {
		return nil
	}
	var lines []string
	for _, address := range endpoint.Addresses {
		lines = append(lines, address+" "+serviceNames("", service))
		if endpoint.Hostname != nil {
			lines = append(lines, address+" "+serviceNames(*endpoint.Hostname+".", service))
		}
	}
	return lines
}

func serviceNames(prefix string, service *corev1.Service) string {
	short := prefix + service.Name
	full := short + "." + service.Namespace
	return strings.Join([]string{short, full, full + ".svc", full + ".svc." + clusterDomain}, " ")
}
