package resources_test

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// Prometheus finds servers, whom to believe, and its token by the PodMonitor.
func TestThePodMonitor(t *testing.T) {
	endpoint := func(c *v1alpha1.ConsulCluster) string {
		spec := resources.PodMonitor(c, "server.dc1.consul").Object["spec"].(map[string]any)
		text, err := json.Marshal(spec["podMetricsEndpoints"])
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		return string(text)
	}
	g := NewWithT(t)
	g.Expect(endpoint(plain())).To(MatchJSON(
		`[{"port": "http", "path": "/v1/agent/metrics", "params": {"format": ["prometheus"]}}]`))
	secured := certified()
	secured.Annotations[v1alpha1.AnnotationACLs] = string(v1alpha1.ACLsDeny)
	g.Expect(endpoint(secured)).To(MatchJSON(`[{
		"port": "https", "scheme": "https", "path": "/v1/agent/metrics", "params": {"format": ["prometheus"]},
		"tlsConfig": {"ca": {"secret": {"name": "consul-ca-cert", "key": "tls.crt"}}, "serverName": "server.dc1.consul"},
		"authorization": {"credentials": {"name": "consul-metrics-token", "key": "token"}}
	}]`))
	c := plain()
	c.Spec.Metrics.PodMonitorLabels = map[string]string{"release": "monitoring", v1alpha1.LabelCluster: "another"}
	monitor := resources.PodMonitor(c, "")
	g.Expect(monitor.GetLabels()).To(And(HaveKeyWithValue("release", "monitoring"), HaveKeyWithValue(v1alpha1.LabelCluster, c.Name)))
	g.Expect(resources.Belongs(c, monitor)).To(BeTrue())
	g.Expect(func() { monitor.DeepCopy() }).NotTo(Panic(), "it has values of JSON only")
}

// I6: servers keep metrics for Prometheus if they are asked to, and a user may say for how long.
func TestServersKeepMetrics(t *testing.T) {
	g := NewWithT(t)
	silent, asked := plain(), plain()
	asked.Spec.Metrics.Enabled = true
	g.Expect(resources.Revision(asked)).NotTo(Equal(resources.Revision(silent)))
	rendered := func(c *v1alpha1.ConsulCluster) map[string]any {
		text, err := resources.AgentConfig(c)
		g.Expect(err).NotTo(HaveOccurred())
		var values map[string]any
		g.Expect(json.Unmarshal(text, &values)).To(Succeed())
		return values
	}
	g.Expect(rendered(silent)).NotTo(HaveKey("telemetry"))
	g.Expect(rendered(asked)["telemetry"]).To(Equal(map[string]any{"prometheus_retention_time": "5m", "disable_hostname": true}))
	asked.Spec.Config = config(t, map[string]any{"telemetry": map[string]any{"prometheus_retention_time": "1h"}})
	g.Expect(rendered(asked)["telemetry"]).To(Equal(map[string]any{"prometheus_retention_time": "1h", "disable_hostname": true}))
}
