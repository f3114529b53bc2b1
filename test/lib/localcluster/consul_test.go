package localcluster_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func configFrom(kubeconfig string) *rest.Config {
	GinkgoHelper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	return config
}

func consulPod(name string) *corev1.Pod {
	pod := helperPod(name)
	pod.Labels["app"] = "consul"
	c := &pod.Spec.Containers[0]
	c.Name, c.Image, c.Command = "consul", "hashicorp/consul:1.22.7", []string{"consul"}
	c.Args = []string{
		"agent", "-server", "-bootstrap-expect=3", "-node=" + name, "-data-dir=/consul/data", "-config-dir=/consul/config",
		"-bind=$(POD_IP)", "-client=0.0.0.0", "-retry-join=servers",
	}
	addVolume(pod, "data", "/consul/data", claimVolume("data-"+name))
	addVolume(pod, "config", "/consul/config", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: "consul"},
	}})
	return pod
}

var _ = Describe("Consul", func() {
	It("finds its servers by the name of their Service and elects a leader", func(ctx SpecContext) {
		configMap(ctx, "consul", map[string]string{"server.json": `{"performance": {"raft_multiplier": 1},
			"ports": {"serf_wan": -1}, "retry_interval": "1s"}`})
		createService(ctx, "servers", "consul", func(s *corev1.ServiceSpec) {
			s.ClusterIP, s.PublishNotReadyAddresses = corev1.ClusterIPNone, true
		})
		begin := time.Now()
		for i := range 3 {
			name := fmt.Sprintf("consul-%d", i)
			claim(ctx, "data-"+name)
			create(ctx, consulPod(name))
		}
		leaderAt := func(address string) (string, error) {
			response, err := http.Get(fmt.Sprintf("http://%s:8500/v1/status/leader", address))
			if err != nil {
				return "", err
			}
			defer func() { _ = response.Body.Close() }()
			data, err := io.ReadAll(response.Body)
			return strings.Trim(string(data), `"`), err
		}
		leader := func() (string, error) { return leaderAt(get(ctx, "consul-0").Status.PodIP) }
		Eventually(leader, "40s", "100ms").Should(HavePrefix("127."))
		AddReportEntry("Consul had a leader after", time.Since(begin))
		for i := range 3 {
			pod := get(ctx, fmt.Sprintf("consul-%d", i))
			Expect(pod.Status.ContainerStatuses[0].RestartCount).To(BeZero())
			Expect(leaderAt(cluster.Loopback(ns, pod.Name))).To(HavePrefix("127."), "on what is 127.0.0.1 to the pod")
		}
	})
})
