package e2e

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/load"
)

// release installs or upgrades the operator, and waits until it runs.
func release(how string, flags ...string) {
	GinkgoHelper()
	helm(append([]string{
		how, "consul-operator", "charts/consul-operator", "--namespace=" + operators, "--wait", "--timeout=2m",
		"--set=image.repository=consul-operator,image.tag=local,image.pullPolicy=Never",
	}, flags...)...)
}

var _ = Describe("the operator, installed by Helm", Ordered, ContinueOnFailure, func() {
	BeforeAll(func() {
		restricted(operators)
		release("install")
	})
	AfterAll(func() {
		kubectl("delete", "consulclusters", "--all", "--all-namespaces", "--timeout=2m")
		helm("uninstall", "consul-operator", "--namespace="+operators, "--wait")
		Expect(kubectl("get", "crd", "consulclusters.consuloperator.io", "--output=name")).NotTo(BeEmpty(), "the CRD is kept")
	})

	for surge := int32(1); surge <= 3; surge += 2 {
		It(fmt.Sprintf("upgrades under load with maxSurge %d", surge), func() {
			c := create(fmt.Sprintf("surge-%d", surge), func(spec *v1alpha1.ConsulClusterSpec) { spec.Update.MaxSurge = surge })
			c.watch(load.Options{Rate: 500}) // the nodes themselves take a good part of two cores
			start := time.Now()
			c.patch(toVersion(newest))
			c.ready(5 * time.Minute)
			AddReportEntry("duration", time.Since(start).Round(100*time.Millisecond).String())
			seen := c.end()
			Expect(seen.LeaderChanges).To(Equal(1), "I3: one planned change of leadership")
			Expect(seen.FewestVoters).To(BeNumerically(">=", 3), "I2: voters never drop below replicas")
			Expect(seen.All.Gap.Length()).To(BeNumerically("<", 150*time.Millisecond))
			Expect(kubectl("get", "consulcluster", "consul", "--namespace="+c.key.Namespace)).To(ContainSubstring(newest))
		})
	}

	It("spreads servers over nodes, scales, answers by name and is deleted", func() {
		c := create("operate", func(*v1alpha1.ConsulClusterSpec) {})
		nodes := map[string]bool{}
		for _, where := range c.pods() {
			nodes[where[strings.Index(where, " on "):strings.Index(where, ",")]] = true
		}
		Expect(nodes).To(HaveLen(3), "each server has a node of its own")
		in := "--namespace=" + c.key.Namespace
		kubectl("scale", "consulcluster/consul", "--replicas=1", in)
		kubectl("wait", "consulcluster/consul", "--for=jsonpath={.status.voters}=1", "--timeout=2m", in)
		kubectl("wait", "consulcluster/consul", "--for=condition=Ready", "--timeout=2m", in)
		Expect(kubectl("describe", "consulcluster/consul", in)).To(ContainSubstring("is retiring"))
		server := c.get().Status.Servers[0].Name
		members := kubectl("exec", server, in, "--", "consul", "members", "-http-addr=http://consul."+c.key.Namespace+".svc:8500")
		Expect(members).To(ContainSubstring(server), "the client Service has a name that resolves")
		kubectl("delete", "consulcluster/consul", "--timeout=1m", in)
		Eventually(func() string {
			return kubectl("get", "pods,persistentvolumeclaims,services,secrets,poddisruptionbudgets", "--output=name", in)
		}, "1m", "500ms").Should(BeEmpty(), "nothing is left")
	})

	It("is upgraded itself and fails over in the middle of an upgrade, and no server notices", func() {
		c := create("operators-own", func(*v1alpha1.ConsulClusterSpec) {})
		before := c.pods()
		release("upgrade", "--set=replicas=2,logLevel=debug")
		c.ready(time.Minute)
		Expect(c.pods()).To(Equal(before), "I6: a new operator alone restarts no server")

		c.watch(load.Options{Rate: 200})
		c.patch(toVersion(newest))
		Expect(env.WaitFor(GinkgoT().Context(), c.key, time.Minute, nil, func(c *v1alpha1.ConsulCluster) bool {
			return len(c.Status.Servers) > 3
		})).To(Succeed(), "the upgrade has begun")
		former := active()
		Expect(env.Client.Delete(GinkgoT().Context(), former, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(func() string { return active().Name }, "1m", "200ms").ShouldNot(Equal(former.Name))
		c.ready(5 * time.Minute)
		Expect(c.end().LeaderChanges).To(Equal(1), "I3")
	})

	It("does what was asked for while it was down", func() {
		c := create("operator-down", func(*v1alpha1.ConsulClusterSpec) {})
		in := "--namespace=" + operators
		kubectl("scale", "deployment/consul-operator", "--replicas=0", in)
		kubectl("wait", "pods", "--for=delete", "--all", "--timeout=1m", in)
		before := c.pods()
		c.patch(toVersion(newest))
		c.watch(load.Options{Rate: 200})
		Consistently(c.pods, "5s", "1s").Should(Equal(before))
		kubectl("scale", "deployment/consul-operator", "--replicas=1", in)
		c.ready(5 * time.Minute)
		Expect(c.end().LeaderChanges).To(Equal(1), "I3")
	})
})

// active is the pod of the operator that holds the lease.
func active() *corev1.Pod {
	GinkgoHelper()
	var leases coordinationv1.LeaseList
	Expect(env.Client.List(GinkgoT().Context(), &leases, client.InNamespace(operators))).To(Succeed())
	Expect(leases.Items).To(HaveLen(1))
	name, _, _ := strings.Cut(*leases.Items[0].Spec.HolderIdentity, "_")
	pod := &corev1.Pod{}
	pod.Name, pod.Namespace = name, operators
	return pod
}
