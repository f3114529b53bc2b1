package e2e

import (
	"net"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

var _ = Describe("what is beside a cluster", Ordered, ContinueOnFailure, func() {
	installed()

	It("is scraped by Prometheus, and serves client agents that join by name, through an upgrade and a rotation", func() {
		c := create("beside", func(spec *v1alpha1.ConsulClusterSpec) {
			spec.Update.MaxSurge = 3
			spec.TLS.Enabled, spec.ACLs.Enabled = new(false), new(false) // the operator makes nothing for agents
			spec.NetworkPolicy.Agents = v1alpha1.Peers{{PodSelector: &metav1.LabelSelector{}}}
			config, err := v1alpha1.NewConfig(map[string]any{
				// Without the second one each server gives its gauges names of their own.
				"telemetry": map[string]any{"prometheus_retention_time": "1m", "disable_hostname": true},
			})
			Expect(err).NotTo(HaveOccurred())
			spec.Config = config
		})
		address := c.joinAgent("agent")
		inAgent := func(args ...string) string {
			return kubectl(append([]string{"exec", "agent", c.in(), "--", "consul"}, args...)...)
		}
		inAgent("services", "register", "-name=web", "-port=80")
		Eventually(c.scraped, "30s", "1s").Should(Equal(map[string]float64{"servers": 3, "leaders": 1}))

		c.watchAt(address, load.Options{Rate: 200})
		c.patch(toNewest)
		c.ready(5 * time.Minute)
		Expect(c.end().HandedOver(1)).To(Succeed(), invariant.I3.String())

		Expect(c.scraped()).To(HaveKeyWithValue("servers", 3.0))
		members := []string{"agent"}
		for server := range c.pods() {
			members = append(members, server)
		}
		alive := func() (names []string) {
			for line := range strings.Lines(inAgent("members")) {
				if fields := strings.Fields(line); fields[2] == "alive" {
					names = append(names, fields[0])
				}
			}
			return names
		}
		Expect(alive()).To(ConsistOf(members), "it knows the new servers and no old ones")
		Expect(inAgent("catalog", "nodes", "-service=web")).To(ContainSubstring("agent"), "its service is registered")

		former, pods := c.gossipKey(), c.pods()
		c.patch(func(cluster *v1alpha1.ConsulCluster) {
			cluster.Annotations[v1alpha1.AnnotationRotateGossipKey] = "now"
		})
		Eventually(c.gossipKey, "2m", "1s").ShouldNot(Equal(former))
		Eventually(c.gossipStage, "2m", "1s").Should(Equal(resources.GossipSettled))
		c.ready(time.Minute)
		Expect(c.pods()).To(Equal(pods), "no server was replaced, or started again")
		Expect(alive()).To(ConsistOf(members), "the agent has the new key as well")
	})
})

func (c *consul) gossipSecret() *corev1.Secret {
	GinkgoHelper()
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: c.Key.Namespace, Name: resources.GossipSecretName(c.Key.Name)}
	Expect(env.Client.Get(GinkgoT().Context(), key, secret)).To(Succeed())
	return secret
}

func (c *consul) gossipKey() string { return string(c.gossipSecret().Data["key"]) }

func (c *consul) gossipStage() resources.GossipStage {
	return resources.GossipStageOf(c.gossipSecret())
}

// joinAgent runs a client agent in a pod, and returns the address of its API.
func (c *consul) joinAgent(name string) string {
	GinkgoHelper()
	pod := &corev1.Pod{}
	pod.Name, pod.Namespace = name, c.Key.Namespace
	pod.Spec = restrictedSpec(corev1.Container{
		Command: []string{
			"consul", "agent", "-node=" + name, "-data-dir=/consul/data", "-bind=$(POD_IP)", "-client=$(POD_IP) 127.0.0.1",
			"-retry-join=" + c.Key.Name + "-join." + c.Key.Namespace + ".svc", "-retry-interval=1s", "-encrypt=$(GOSSIP_KEY)",
		},
		Env: []corev1.EnvVar{{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"},
		}}, {Name: "GOSSIP_KEY", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: resources.GossipSecretName(c.Key.Name)}, Key: "key",
		}}}, {Name: "CONSUL_HTTP_ADDR", Value: "127.0.0.1:8500"}}, // localhost by default, which the Consul of the tests cannot look up
		VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/consul/data"}},
		// Any answer from the catalog is an answer from a server.
		ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
			HTTPGet: &corev1.HTTPGetAction{Path: "/v1/catalog/datacenters", Port: intstr.FromInt32(8500)},
		}},
	})
	pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	runPod(pod)
	return net.JoinHostPort(pod.Status.PodIP, "8500")
}

// restrictedSpec runs one container of Consul's image as the restricted Pod Security Standard wants it.
func restrictedSpec(container corev1.Container) corev1.PodSpec {
	container.Name, container.Image = "main", "hashicorp/consul:"+older
	container.SecurityContext = &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	return corev1.PodSpec{
		AutomountServiceAccountToken:  ptr.To(false),
		TerminationGracePeriodSeconds: ptr.To[int64](1),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](100), FSGroup: ptr.To[int64](1000),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{container},
	}
}

// runPod creates a pod, and fills in what is known of it when it is ready.
func runPod(pod *corev1.Pod) {
	GinkgoHelper()
	Expect(env.Client.Create(GinkgoT().Context(), pod)).To(Succeed())
	kubectl("wait", "pod/"+pod.Name, "--for=condition=Ready", "--timeout=1m", "--namespace="+pod.Namespace)
	Expect(env.Client.Get(GinkgoT().Context(), client.ObjectKeyFromObject(pod), pod)).To(Succeed())
}

// scraped is what the metrics of all servers together say.
func (c *consul) scraped() map[string]float64 {
	GinkgoHelper()
	seen := map[string]float64{}
	var pods corev1.PodList
	Expect(env.Client.List(GinkgoT().Context(), &pods, client.InNamespace(c.Key.Namespace),
		client.MatchingLabels{v1alpha1.LabelCluster: c.Key.Name})).To(Succeed())
	for _, pod := range pods.Items {
		metrics, status := scrape("http://"+net.JoinHostPort(pod.Status.PodIP, "8500")+"/v1/agent/metrics?format=prometheus", "")
		Expect(status).To(Equal(200))
		seen["servers"]++
		if leads := metrics["consul_server_isLeader"]; leads != nil {
			seen["leaders"] += leads.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return seen
}
