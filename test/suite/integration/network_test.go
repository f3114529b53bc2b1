package integration

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/child"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/netns"
)

const (
	ipv4 = corev1.IPv4Protocol
	ipv6 = corev1.IPv6Protocol
)

// Nothing but IPv6, from the API server to the only voter of a recovery.
func TestIPv6Only(t *testing.T) {
	long(t)
	netns.Test(t, func() {
		env := inNetwork(t, []corev1.IPFamily{ipv6}, []corev1.IPFamily{ipv6})
		s := begin(t, env, "ipv6-only", soonVoters)
		s.answersAtAllAddresses(ipv6)
		s.sendsClientsTo(ipv6)
		s.upgradesUnderLoad()
		s.sendsClientsTo(ipv6)
		s.Expect(s.Client.Delete(t.Context(), s.cluster())).To(Succeed())

		begin(t, env, "recovered", recoversSoon).losesMostAndRecovers()
	})
}

// Pods have an address of each family, in either order. Services prefer IPv6 both times: Kubernetes does not ask for the order
// that pods have. Then somebody gives the client Service both families, and the operator leaves it as it is.
func TestDualStack(t *testing.T) {
	long(t)
	for name, pods := range map[string][]corev1.IPFamily{
		"ipv4-first": {ipv4, ipv6},
		"ipv6-first": {ipv6, ipv4},
	} {
		t.Run(name, func(t *testing.T) { // one after the other: each has a control plane of its own
			netns.Test(t, func() {
				s := begin(t, inNetwork(t, pods, []corev1.IPFamily{ipv6, ipv4}), name, soonVoters)
				s.answersAtAllAddresses(pods...)
				s.sendsClientsTo(ipv6)
				service := &corev1.Service{}
				s.Expect(s.Client.Get(t.Context(), s.Key, service)).To(Succeed())
				service.Spec.IPFamilyPolicy = ptr.To(corev1.IPFamilyPolicyPreferDualStack)
				s.Expect(s.Client.Update(t.Context(), service)).To(Succeed())
				s.sendsClientsTo(ipv4, ipv6)
				if pods[0] == ipv6 { // as where there is nothing else
					return
				}
				s.upgradesUnderLoad()
				s.answersAtAllAddresses(pods...)
				s.sendsClientsTo(ipv4, ipv6)
			})
		})
	}
}

// inNetwork starts an environment of the test's own whose pods and Services have addresses of these families.
func inNetwork(t *testing.T, pods, services []corev1.IPFamily) *harness.Env {
	t.Helper()
	env, err := harness.Start(t.Context(), harness.Options{Name: "network", Families: pods, ServiceFamilies: services})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = env.Stop() })
	return env
}

func (s *story) upgradesUnderLoad() {
	s.t.Helper()
	s.Observer.AllowLeaderChanges(1)
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.Version, c.Spec.Update.MaxSurge = newest, 3 })
	s.reach("upgraded", 6*time.Minute)
	status := s.cluster().Status
	s.Expect(status.Version).To(Equal(newest))
	s.Expect(status.Voters).To(BeNumerically("==", 3))
	s.end(1)
}

// answersAtAllAddresses asserts which addresses the pods have, the first family that of podIP, that each server answers at each
// of them and at its 127.0.0.1, and that servers talk to each other by the first one.
func (s *story) answersAtAllAddresses(families ...corev1.IPFamily) {
	s.t.Helper()
	for _, server := range s.servers() {
		pod := s.pod(server)
		s.Expect(pod.Status.PodIP).To(Equal(pod.Status.PodIPs[0].IP))
		s.Expect(pod.Status.PodIPs).To(HaveLen(len(families)))
		addresses := []string{s.Cluster.Loopback(pod.Namespace, pod.Name)}
		for i, family := range families {
			s.Expect(familyOf(pod.Status.PodIPs[i].IP)).To(Equal(family))
			addresses = append(addresses, pod.Status.PodIPs[i].IP)
		}
		for _, address := range addresses {
			access, err := s.Access(s.t.Context())
			s.Expect(err).NotTo(HaveOccurred())
			agent, err := access.Agent(access.At(address), time.Minute)
			s.Expect(err).NotTo(HaveOccurred())
			leader, err := agent.Status().Leader()
			s.Expect(err).NotTo(HaveOccurred())
			host, _, err := net.SplitHostPort(leader)
			s.Expect(err).NotTo(HaveOccurred())
			s.Expect(familyOf(host)).To(Equal(families[0]))
		}
	}
}

// sendsClientsTo asserts that the client Service sends connections to an address of each family at all three servers.
func (s *story) sendsClientsTo(families ...corev1.IPFamily) {
	s.t.Helper()
	want := map[corev1.IPFamily]int{}
	for _, family := range families {
		want[family] = 3
	}
	s.Eventually(func() (map[corev1.IPFamily]int, error) {
		var list discoveryv1.EndpointSliceList
		err := s.Client.List(s.t.Context(), &list, client.InNamespace(s.Key.Namespace),
			client.MatchingLabels{discoveryv1.LabelServiceName: resources.ClientServiceName(s.Key.Name)})
		seen := map[corev1.IPFamily]int{}
		for _, slice := range list.Items {
			for _, endpoint := range slice.Endpoints {
				if *endpoint.Conditions.Ready {
					seen[corev1.IPFamily(slice.AddressType)]++
				}
			}
		}
		return seen, err
	}, 10*time.Second, 100*time.Millisecond).Should(Equal(want))
}

func familyOf(address string) corev1.IPFamily {
	if netip.MustParseAddr(address).Is6() {
		return ipv6
	}
	return ipv4
}

// leaderBy is the address of the leader, by the word of the agent at this address; empty if it knows none.
func leaderBy(address string) (leader string, err error) {
	response, err := http.Get("http://" + net.JoinHostPort(address, "8500") + "/v1/status/leader")
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	err = json.NewDecoder(response.Body).Decode(&leader)
	return leader, err
}

// The local cluster says itself what all addresses of a pod are. This is what Consul makes of it, in a network like a pod's.
func TestConsulListensOnAllAddresses(t *testing.T) {
	t.Parallel()
	for _, version := range []string{oldest, newest} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			netns.Test(t, func() { listensOnAllAddresses(t, version) })
		})
	}
}

func listensOnAllAddresses(t *testing.T, version string) {
	t.Helper()
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(30 * time.Second)
	const podIP, other = "fd00:10:244::9", "10.244.0.9"
	for _, address := range []string{podIP, other} {
		g.Expect(netns.Add(netip.MustParseAddr(address))).To(Succeed())
	}
	root, err := harness.Root()
	g.Expect(err).NotTo(HaveOccurred())
	server, err := child.Start(filepath.Join(t.TempDir(), "log"), filepath.Join(root, "bin", "consul-"+version),
		"agent", "-server", "-bootstrap-expect=1", "-node=consul-0", "-data-dir="+t.TempDir(), "-bind="+podIP, clientFlag(g))
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(server.Kill)
	for _, address := range []string{podIP, other, "127.0.0.1", "::1"} {
		g.Eventually(leaderBy).WithArguments(address).Should(Equal(net.JoinHostPort(podIP, "8300")), "by HTTP at "+address)
		dns := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(address, "8600"))
		}}
		g.Eventually(dns.LookupHost).WithArguments(t.Context(), "consul.service.consul.").Should(ConsistOf(podIP),
			"by DNS at "+address)
	}
}

// clientFlag is what the operator tells servers.
func clientFlag(g *WithT) string {
	c := &v1alpha1.ConsulCluster{}
	c.Name, c.Spec.Version = "consul", newest
	secret, err := resources.RevisionSecret(c)
	g.Expect(err).NotTo(HaveOccurred())
	pod, err := resources.Pod(c, resources.Server{Name: "consul-0"}, secret)
	g.Expect(err).NotTo(HaveOccurred())
	args := pod.Spec.Containers[0].Args
	i := slices.IndexFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "-client=") })
	g.Expect(i).To(BeNumerically(">", 0))
	return args[i]
}
