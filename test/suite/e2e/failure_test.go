package e2e

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

var _ = Describe("failures", Ordered, ContinueOnFailure, func() {
	installed()

	It("goes on without a leader whose node is cut off from the network, and has it back with the network", func() {
		onlyOnNodesHere()
		c := create("cut-off", func(*v1alpha1.ConsulClusterSpec) {})
		leader := c.awayFromTheOperator()
		c.watch(load.Options{Rate: 200})
		c.Observer.SetFaults(true)
		c.Observer.AllowLeaderChanges(-1)
		if c.get().Status.Leader != leader {
			kubectl("annotate", "consulcluster/consul", v1alpha1.AnnotationTransferLeadership+"="+leader, c.in())
			c.until("it leads", func(c *v1alpha1.ConsulCluster) bool { return c.Status.Leader == leader })
			c.ready(time.Minute)
		}
		servers, node := c.names(), c.nodeOf(leader)
		Expect(harness.Link(node, "down")).To(Succeed())
		DeferCleanup(harness.Link, node, "up")
		cut := time.Now()
		c.until("another server leads", func(c *v1alpha1.ConsulCluster) bool {
			return c.Status.Leader != "" && c.Status.Leader != leader
		})
		AddReportEntry("another server leads after", time.Since(cut).Round(100*time.Millisecond).String())
		c.until("the server is named", func(c *v1alpha1.ConsulCluster) bool {
			return !harness.IsReady(c) && strings.Contains(harness.Saying(c), leader)
		})
		AddReportEntry("says", harness.Saying(c.get()))
		Eventually(func() bool { return nodeIsReady(node) }, "2m", "1s").Should(BeFalse(), "Kubernetes notices as well")
		Expect(harness.Link(node, "up")).To(Succeed())
		c.ready(3 * time.Minute)
		Expect(c.names()).To(Equal(servers), "nobody was replaced")
		c.end()
	})

	It("recovers from a lost quorum by the command that its status names", func() {
		onlyOnNodesHere()
		c := create("lost", func(*v1alpha1.ConsulClusterSpec) {})
		c.watch(load.Options{Rate: 200})
		c.Observer.SetFaults(true)
		c.Observer.AllowLeaderChanges(-1)
		Eventually(func() int { return c.Load.Result().All.Acknowledged }, "30s", "100ms").Should(BeNumerically(">", 0))
		c.Load.Stop()
		before := c.names()
		lost, err := c.LoseQuorum(GinkgoT().Context())
		Expect(err).NotTo(HaveOccurred())
		survivor := before[slices.IndexFunc(before, func(server string) bool { return !slices.Contains(lost, server) })]
		command := ""
		c.until("it says what to do", func(c *v1alpha1.ConsulCluster) bool {
			stalled := apimeta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionStalled)
			command = regexp.MustCompile(`kubectl annotate .*$`).FindString(stalled.Message)
			return command != ""
		})
		AddReportEntry("says", command)
		start := time.Now()
		kubectl(strings.Fields(command)[1:]...)
		c.ready(3 * time.Minute)
		AddReportEntry("three voters again after", time.Since(start).Round(time.Second).String())
		Expect(c.names()).To(ContainElement(survivor))
		Expect(kubectl("logs", survivor, "--container=recover", c.in())).To(ContainSubstring("peers.json"))
		kubectl("exec", survivor, "--container=consul", c.in(), "--", "rm", "-r", "/consul/data/recovery")
		Expect(kubectl("get", "events", "--field-selector=involvedObject.kind=ConsulCluster", c.in())).
			To(ContainSubstring("FinishRecovery"))
		c.end()
	})
})

// onlyOnNodesHere skips a spec that reaches for what a node is made of.
func onlyOnNodesHere() {
	if os.Getenv("CONSUL_OPERATOR_NODES") == "" {
		Skip("only the processes and links of hack/cluster can be reached from here")
	}
}

// awayFromTheOperator is a server on a node that has neither the operator nor the control plane.
func (c *consul) awayFromTheOperator() string {
	GinkgoHelper()
	var pods corev1.PodList
	Expect(env.Client.List(GinkgoT().Context(), &pods, client.InNamespace(operators))).To(Succeed())
	taken := []string{nodes()[0]}
	for _, pod := range pods.Items {
		taken = append(taken, pod.Spec.NodeName)
	}
	servers := c.names()
	i := slices.IndexFunc(servers, func(server string) bool { return !slices.Contains(taken, c.nodeOf(server)) })
	Expect(i).To(BeNumerically(">=", 0), "four nodes have room for a server without the operator")
	return servers[i]
}

func nodeIsReady(name string) bool {
	GinkgoHelper()
	node := &corev1.Node{}
	Expect(env.Client.Get(GinkgoT().Context(), client.ObjectKey{Name: name}, node)).To(Succeed())
	return slices.ContainsFunc(node.Status.Conditions, func(condition corev1.NodeCondition) bool {
		return condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue
	})
}
