package e2e

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

var _ = Describe("the operator, installed by Helm", Ordered, ContinueOnFailure, func() {
	installed()

	It("passes its own test, where pods have to be restricted", Label(essential), func() {
		output, err := env.Kubectl(GinkgoT().Context(), "run", "not-restricted", "--image=consul-operator:local",
			"--dry-run=server", "--namespace="+operators)
		Expect(err).To(HaveOccurred())
		Expect(output).To(ContainSubstring("violates PodSecurity"), "the namespace enforces it")
		said := helm("test", "consul-operator", "--namespace="+operators, "--timeout=2m")
		Expect(said).To(ContainSubstring("the operator answered Paused"))
		Eventually(func() string {
			return kubectl("get", "consulclusters,serviceaccounts,roles,rolebindings,pods", "--output=name", "--namespace="+operators)
		}, "30s", "200ms").ShouldNot(ContainSubstring("check"), "nothing of the test is left")
	})

	It("passes it with rights in one namespace only", func() {
		restricted("watched")
		DeferCleanup(func() {
			release()
			kubectl("delete", "namespace", "watched", "--timeout=1m")
		})
		release("--set=watchNamespaces={watched}")
		Expect(helm("test", "consul-operator", "--namespace="+operators, "--timeout=2m")).To(And(
			ContainSubstring("ConsulCluster watched/consul-operator-check"), ContainSubstring("the operator answered Paused")))
	})

	It("tells its metrics to those whom the API server lets read them", func() {
		in := "--namespace=" + operators
		kubectl("create", "serviceaccount", "prometheus", in)
		DeferCleanup(func() { kubectl("delete", "serviceaccount", "prometheus", in) })
		kubectl("create", "clusterrolebinding", "prometheus", "--clusterrole=consul-operator-metrics-reader",
			"--serviceaccount="+operators+":prometheus")
		DeferCleanup(func() { kubectl("delete", "clusterrolebinding", "prometheus") })
		service := &corev1.Service{}
		key := client.ObjectKey{Namespace: operators, Name: "consul-operator-metrics"}
		Expect(env.Client.Get(GinkgoT().Context(), key, service)).To(Succeed())
		at := "https://" + service.Spec.ClusterIP + ":8443/metrics"
		_, status := scrape(at, "")
		Expect(status).To(Equal(http.StatusUnauthorized))
		metrics, status := scrape(at, kubectl("create", "token", "prometheus", in))
		Expect(status).To(Equal(http.StatusOK))
		Expect(metrics).To(HaveKey("leader_election_master_status"), "of the one that is active, or of the one that stands by")
	})

	It("is upgraded itself and fails over in the middle of an upgrade, and no server notices", func() {
		c := create("operators-own", surge3)
		before := c.pods()
		release("--set=replicas=2,logLevel=debug,networkPolicy.enabled=true")
		c.ready(time.Minute)
		Expect(c.pods()).To(Equal(before), invariant.I6.String())
		Expect(kubectl("get", "networkpolicies,poddisruptionbudgets", "--output=name", "--namespace="+operators)).To(And(
			ContainSubstring("networkpolicy"), ContainSubstring("poddisruptionbudget")))

		c.watch(load.Options{Rate: 200})
		c.patch(toNewest)
		c.until("the upgrade has begun", func(c *v1alpha1.ConsulCluster) bool { return len(c.Status.Servers) > 3 })
		former := active()
		Expect(env.Client.Delete(GinkgoT().Context(), former, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(func() string { return active().Name }, "1m", "200ms").ShouldNot(Equal(former.Name))
		c.ready(5 * time.Minute)
		Expect(c.end().HandedOver(1)).To(Succeed(), invariant.I3.String())
	})

	It("reaches the API of a server and not its Raft port under its NetworkPolicy", func() {
		onlyOnNodesHere() // elsewhere policies may not be enforced
		release("--set=networkPolicy.enabled=true")
		c := create("policed", func(spec *v1alpha1.ConsulClusterSpec) {
			spec.Replicas, spec.NetworkPolicy.Enabled, spec.TLS.HTTPSOnly = 1, new(false), new(false)
			spec.ACLs.Enabled = new(false) // who asks has no token
		})
		server := kubectl("get", "pod", "consul-0", "--output=jsonpath={.status.podIP}", c.in())
		api, raft := "http://"+net.JoinHostPort(server, "8500"), "http://"+net.JoinHostPort(server, "8300")
		// One that the policy takes for the operator, and one that it does not: the operator's own image has no shell.
		like := asker(operators, "like-it", map[string]string{
			"app.kubernetes.io/name": "consul-operator", "app.kubernetes.io/instance": "consul-operator",
		})
		unlike := asker(operators, "unlike-it", nil)
		Eventually(membersBy, "30s", "1s").WithArguments(like, raft).Should(ContainSubstring(blocked))
		Expect(membersBy(like, api)).To(ContainSubstring("alive"))
		Expect(membersBy(unlike, api)).To(ContainSubstring("alive"))
		Expect(membersBy(unlike, raft)).NotTo(ContainSubstring(blocked), "it is connected, and gets no answer by HTTP")
	})

	It("leaves clusters as they are when it is uninstalled, and does what was asked for meanwhile when it is back", func() {
		c := create("uninstalled", surge3)
		before := c.pods()
		c.watch(load.Options{Rate: 200})
		helm("uninstall", "consul-operator", "--namespace="+operators, "--wait")
		Expect(kubectl("get", "crd", "consulclusters.consuloperator.io", "--output=name")).NotTo(BeEmpty(), "the CRD is kept")
		c.patch(toNewest)
		Consistently(c.pods, "5s", "1s").Should(Equal(before))
		release()
		c.ready(5 * time.Minute)
		Expect(c.end().HandedOver(1)).To(Succeed(), invariant.I3.String())
	})
})

// blocked is what a client says of a port that a policy closes here.
const blocked = "connection refused"

// asker is a pod from which Consul can be asked.
func asker(namespace, name string, labels map[string]string) *corev1.Pod {
	GinkgoHelper()
	pod := &corev1.Pod{}
	pod.Name, pod.Namespace, pod.Labels = name, namespace, labels
	pod.Spec = restrictedSpec(corev1.Container{Command: []string{"sleep", "3600"}})
	runPod(pod)
	DeferCleanup(func() { kubectl("delete", "pod", name, "--namespace="+namespace) })
	return pod
}

// membersBy is what `consul members` says in a pod of an agent somewhere.
func membersBy(from *corev1.Pod, at string) string {
	said, _ := env.Kubectl(GinkgoT().Context(), "exec", from.Name, "--namespace="+from.Namespace, "--", // or why it cannot
		"consul", "members", "-http-addr="+at)
	return said
}

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

// scrape reads metrics as Prometheus does.
func scrape(url, token string) (map[string]*dto.MetricFamily, int) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(GinkgoT().Context(), http.MethodGet, url, http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	// The certificate is the operator's own.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see above
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, answer.Body)
		return nil, answer.StatusCode
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	metrics, err := parser.TextToMetricFamilies(answer.Body)
	Expect(err).NotTo(HaveOccurred())
	return metrics, answer.StatusCode
}
