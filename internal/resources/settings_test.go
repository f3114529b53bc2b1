package resources_test

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func withConfig(raw string) *v1alpha1.ConsulCluster {
	c := plain()
	c.Spec.Config = &v1alpha1.Config{Raw: []byte(raw)}
	return c
}

func settingsOf(t *testing.T, c *v1alpha1.ConsulCluster) (file map[string]any, hash string) {
	t.Helper()
	g := NewWithT(t)
	text, hash, err := resources.Settings(c)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(json.Unmarshal([]byte(text), &file)).To(Succeed())
	return file, hash
}

// What servers read again while they run is in a file of its own, and no part of the revision.
func TestSettings(t *testing.T) {
	g := NewWithT(t)
	c := withConfig(`{
		"Log_Level": "DEBUG", "node_meta": {"a": "x"}, "Limits": [{"request_limits": {"mode": "enforcing"}, "kv_max_value_size": 7}],
		"telemetry": {"prefix_filter": ["+a"]}, "ports": {"grpc": 8502}
	}`)
	file, hash := settingsOf(t, c)
	g.Expect(hash).To(HaveLen(10))
	g.Expect(file).To(Equal(map[string]any{
		"log_level": "DEBUG", "node_meta": map[string]any{"a": "x", "operator-settings": hash},
		"limits":    map[string]any{"request_limits": map[string]any{"mode": "enforcing"}},
		"telemetry": map[string]any{"prefix_filter": []any{"+a"}},
	}))
	g.Expect(resources.Revision(c)).To(Equal(resources.Revision(withConfig(
		`{"Limits": [{"kv_max_value_size": 7}], "ports": {"grpc": 8502}}`))))

	raw, err := resources.AgentConfig(c)
	g.Expect(err).NotTo(HaveOccurred())
	for _, key := range []string{"og_", "node_meta", "request_limits", "telemetry"} {
		g.Expect(string(raw)).NotTo(ContainSubstring(key))
	}
	g.Expect(string(raw)).To(ContainSubstring("kv_max_value_size"))
}

func TestNoSettings(t *testing.T) {
	for _, raw := range []string{`{}`, `{"ports": {"grpc": 8502}, "log_level": null, "autopilot": {"max_trailing_logs": 9}}`} {
		g := NewWithT(t)
		file, hash := settingsOf(t, withConfig(raw))
		g.Expect(hash).To(BeEmpty())
		g.Expect(file).To(BeEmpty())
	}
	NewWithT(t).Expect(resources.Revision(withConfig(`{"log_level": "INFO", "limits": {"request_limits": {}}}`))).To(
		Equal(resources.Revision(plain())))
}

func TestSettingsDifferByTheirHash(t *testing.T) {
	g := NewWithT(t)
	_, debug := settingsOf(t, withConfig(`{"log_level": "DEBUG", "enable_debug": true}`))
	_, again := settingsOf(t, withConfig(`{"enable_debug": true, "LOG_LEVEL": "DEBUG"}`))
	_, info := settingsOf(t, withConfig(`{"log_level": "INFO", "enable_debug": true}`))
	g.Expect(again).To(Equal(debug))
	g.Expect(info).NotTo(Equal(debug))
}

func TestSettingsThatCannotBe(t *testing.T) {
	for raw, message := range map[string]string{
		`{"node_meta": 3}`: "spec.config.node_meta: it must be an object",
		`{"node_meta": {"operator-settings": "x"}}`: "spec.config.node_meta.operator-settings: it belongs to the operator: " +
			"choose another key",
		`{"log_level": "nonsense"}`: "spec.config.log_level: log_level must be TRACE, DEBUG, INFO, WARN or ERROR: " +
			"Consul does not start with another one",
		`{"log_level": 3}`: "spec.config.log_level: log_level must be TRACE, DEBUG, INFO, WARN or ERROR: " +
			"Consul does not start with another one",
	} {
		t.Run(raw, func(t *testing.T) {
			NewWithT(t).Expect(resources.CheckConfig(withConfig(raw))).To(MatchError(message))
		})
	}
}

func TestSettingsOfAPod(t *testing.T) {
	g := NewWithT(t)
	c := withConfig(`{"log_level": "DEBUG"}`)
	text, hash, err := resources.Settings(c)
	g.Expect(err).NotTo(HaveOccurred())
	secret, err := resources.RevisionSecret(c)
	g.Expect(err).NotTo(HaveOccurred())
	pod, err := resources.Pod(c, resources.Server{Name: "consul-0", Settings: text}, secret)
	g.Expect(err).NotTo(HaveOccurred())
	expect := func(pod *corev1.Pod, wanted string, wantedReloads bool) {
		t.Helper()
		given, reloads := resources.SettingsOf(pod)
		g.Expect(given).To(Equal(wanted))
		g.Expect(reloads).To(Equal(wantedReloads))
	}
	expect(pod, hash, true)
	resources.GiveSettings(pod, "{}")
	expect(pod, "", true)
	delete(pod.Annotations, v1alpha1.AnnotationSettings)
	expect(pod, "damaged", true)
	expect(&corev1.Pod{}, "", false)
}
