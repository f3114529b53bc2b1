package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/load"
)

var _ = Describe("drains", Ordered, func() {
	BeforeAll(func() {
		restricted(operators)
		release("install")
	})
	AfterAll(func() {
		kubectl("delete", "consulclusters", "--all", "--all-namespaces", "--timeout=2m")
		helm("uninstall", "consul-operator", "--namespace="+operators, "--wait")
	})

	It("moves the servers of one node after another before they are evicted", func() {
		c := create("drained", func(*v1alpha1.ConsulClusterSpec) {})
		c.watch(load.Options{Rate: 200})
		c.observer.AllowLeaderChanges(-1)
		leaders := 0
		for _, node := range nodes() {
			if c.nodeOf(c.get().Status.Leader) == node {
				leaders++
			}
			DeferCleanup(func() { kubectl("uncordon", node) })
			kubectl("drain", node, "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=3m")
			for _, server := range c.get().Status.Servers {
				Expect(c.nodeOf(server.Name)).NotTo(Equal(node))
			}
			kubectl("uncordon", node)
			c.ready(2 * time.Minute)
		}
		Expect(leaders).To(BeNumerically(">", 0), "a leader's node was drained")
		seen := c.end()
		Expect(seen.LeaderChanges).To(BeNumerically("<=", leaders), "I3: one change for each leader that was drained")
		Expect(seen.FewestVoters).To(BeNumerically(">=", 3), "I2: voters never drop below replicas")
	})
})

func nodes() []string {
	GinkgoHelper()
	var list corev1.NodeList
	Expect(env.Client.List(GinkgoT().Context(), &list)).To(Succeed())
	var names []string
	for _, node := range list.Items {
		names = append(names, node.Name)
	}
	return names
}

func (c *consul) nodeOf(server string) string {
	GinkgoHelper()
	pod := &corev1.Pod{}
	key := client.ObjectKey{Namespace: c.key.Namespace, Name: server}
	Expect(env.Client.Get(GinkgoT().Context(), key, pod)).To(Succeed())
	return pod.Spec.NodeName
}
