package e2e

import (
	"fmt"
	"net"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

var _ = Describe("a cluster whose spec says nothing of the network", Ordered, ContinueOnFailure, func() {
	installed()

	It("is closed, and open to those who are named", func() {
		onlyOnNodesHere() // elsewhere policies may not be enforced
		c := create("closed", func(spec *v1alpha1.ConsulClusterSpec) {
			spec.Update.MaxSurge = 3
			spec.NetworkPolicy = v1alpha1.NetworkPolicy{}
		})
		restricted("others")
		DeferCleanup(func() { kubectl("delete", "namespace", "others", "--wait=false") })
		neighbor, stranger := asker("closed", "neighbor", nil), asker("others", "stranger", nil)
		reach := func(from *corev1.Pod) func() string { return func() string { return c.reached(from) } }
		Eventually(reach(stranger), "30s", "1s").Should(BeEmpty())
		Eventually(reach(neighbor), "30s", "1s").Should(Equal("8501"))

		c.patch(func(c *v1alpha1.ConsulCluster) {
			c.Spec.NetworkPolicy.Clients = v1alpha1.Peers{{NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{corev1.LabelMetadataName: "others"},
			}}}
		})
		Eventually(reach(stranger), "30s", "1s").Should(Equal("8501"))
		Eventually(reach(neighbor), "30s", "1s").Should(BeEmpty())
		Expect(kubectl("describe", "networkpolicy", "consul-server", c.in())).To(ContainSubstring("others"))

		// The operator and the servers reach what they need.
		c.patch(toNewest)
		c.ready(5 * time.Minute)

		c.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.NetworkPolicy.Enabled = new(false) })
		Eventually(reach(neighbor), "30s", "1s").Should(Equal("8501 8300 8301"))
	})
})

// reached are the TCP ports that a pod reaches: those of all servers, and of some.
func (c *consul) reached(from *corev1.Pod) string {
	GinkgoHelper()
	var reached []string
	servers := c.get().Status.Servers
	for _, port := range []string{"8501", "8300", "8301"} {
		open := 0
		for _, server := range servers {
			if !strings.Contains(membersBy(from, "http://"+net.JoinHostPort(server.Address, port)), blocked) {
				open++
			}
		}
		switch open {
		case 0:
		case len(servers):
			reached = append(reached, port)
		default:
			reached = append(reached, fmt.Sprintf("%s of %d", port, open))
		}
	}
	return strings.Join(reached, " ")
}
