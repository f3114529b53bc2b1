package e2e

import (
	"maps"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

var _ = Describe("drains", Ordered, ContinueOnFailure, func() {
	installed()

	It("move the servers of one node after another before they are evicted", Label(essential), func() {
		c := create("drained", func(*v1alpha1.ConsulClusterSpec) {})
		c.watch(load.Options{Rate: 200})
		c.Observer.AllowLeaderChanges(-1)
		leaders := 0
		for _, node := range nodes() {
			if c.nodeOf(c.get().Status.Leader) == node {
				leaders++
			}
			DeferCleanup(func() { kubectl("uncordon", node) })
			kubectl("drain", node, "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=3m")
			Expect(c.pods()).NotTo(ContainElement(ContainSubstring(" on " + node + ",")))
			kubectl("uncordon", node)
			c.ready(2 * time.Minute)
		}
		Expect(leaders).To(BeNumerically(">", 0), "a leader's node was drained")
		seen := c.end()
		handovers, _ := seen.Handovers()
		Expect(handovers).To(BeNumerically("<=", leaders), "I3: one change for each leader that was drained")
		Expect(seen.FewestVoters).To(BeNumerically(">=", 3), invariant.I2.String())
	})

	It("say so where no other node takes a server, and have it back on its volume with its node", func() {
		c := createApart("nowhere-to-go", func(*v1alpha1.ConsulClusterSpec) {})
		c.watch(load.Options{Rate: 200})
		c.Observer.SetFaults(true) // there cannot be three voters on two nodes
		leader, servers := c.get().Status.Leader, c.names()
		node := c.nodeOf(leader)
		drained := make(chan struct{})
		go func() {
			defer GinkgoRecover()
			defer close(drained)
			kubectl("drain", node, "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=3m")
		}()
		c.until("it says that no node takes another one", func(c *v1alpha1.ConsulCluster) bool {
			return strings.Contains(harness.Saying(c), "Unschedulable: no node takes ")
		})
		AddReportEntry("says", harness.Saying(c.get()))
		Eventually(drained, "3m").Should(BeClosed(), "it is evicted all the same")
		Expect(c.get().Status.Leader).NotTo(Equal(leader), "leadership was handed over before")
		// Two wait for this node then, and the new one for longer.
		c.until("it waits for its node", func(c *v1alpha1.ConsulCluster) bool {
			return strings.Contains(harness.Saying(c), "Unschedulable: "+leader)
		})
		kubectl("uncordon", node)
		c.ready(2 * time.Minute)
		Expect(c.names()).To(Equal(servers))
		Expect(c.end().HandedOver(1)).To(Succeed(), "one for the leader that was drained")
	})

	It("go on elsewhere where another node comes first, and its own does not come back", func() {
		onlyOnNodesHere() // its provisioner has such volumes
		class := classOnNodes()
		c := createApart("elsewhere", func(spec *v1alpha1.ConsulClusterSpec) { spec.Storage.StorageClassName = &class })
		c.watch(load.Options{Rate: 200})
		c.Observer.SetFaults(true) // there cannot be three voters on two nodes
		leader, server := c.get().Status.Leader, c.names()[0]
		if server == leader {
			server = c.names()[1]
		}
		node := c.nodeOf(server)
		kubectl("drain", node, "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=3m")
		c.until("it waits for the node of its volume", func(c *v1alpha1.ConsulCluster) bool {
			return strings.Contains(harness.Saying(c), "Unschedulable: "+server)
		})
		AddReportEntry("says", harness.Saying(c.get()))
		for _, other := range nodes() {
			if other != node {
				kubectl("uncordon", other)
			}
		}
		c.ready(2 * time.Minute)
		Expect(c.names()).To(And(HaveLen(3), Not(ContainElement(server))))
		Expect(c.end().HandedOver(0)).To(Succeed())
	})
})

// createApart keeps servers on different nodes, whatever that costs, and cordons the nodes that have none.
func createApart(namespace string, change func(*v1alpha1.ConsulClusterSpec)) *consul {
	GinkgoHelper()
	c := create(namespace, func(spec *v1alpha1.ConsulClusterSpec) {
		spec.PodTemplate.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey:   corev1.LabelHostname,
				LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelCluster: "consul"}},
			}},
		}}
		change(spec)
	})
	taken := map[string]bool{}
	for server := range c.pods() {
		taken[c.nodeOf(server)] = true
	}
	for _, node := range nodes() {
		DeferCleanup(func() { kubectl("uncordon", node) })
		if !taken[node] {
			kubectl("cordon", node)
		}
	}
	return c
}

// classOnNodes is a storage class whose volumes stay on the node where they were made.
func classOnNodes() string {
	GinkgoHelper()
	class := &storagev1.StorageClass{}
	Expect(env.Client.Get(GinkgoT().Context(), client.ObjectKey{Name: "standard"}, class)).To(Succeed())
	class.ObjectMeta = metav1.ObjectMeta{Name: "on-node"}
	class.Parameters = map[string]string{"onNode": "true"}
	Expect(client.IgnoreAlreadyExists(env.Client.Create(GinkgoT().Context(), class))).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(env.Client.Delete(ctx, class)).To(Succeed()) })
	return class.Name
}

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

// names of the servers, in order.
func (c *consul) names() []string {
	GinkgoHelper()
	return slices.Sorted(maps.Keys(c.pods()))
}

func (c *consul) nodeOf(server string) string {
	GinkgoHelper()
	pod := &corev1.Pod{}
	key := client.ObjectKey{Namespace: c.Key.Namespace, Name: server}
	Expect(env.Client.Get(GinkgoT().Context(), key, pod)).To(Succeed())
	return pod.Spec.NodeName
}
