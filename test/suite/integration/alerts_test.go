package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	promclient "github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/yaml"

	"github.com/consul-operator/consul-operator/internal/metrics"
	"github.com/consul-operator/consul-operator/internal/volumes"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// The chart's alerts fire when testdata/alerts.yaml says, by Prometheus' own rules, and only read what the operator tells.
func TestAlerts(t *testing.T) {
	long(t)
	g := NewWithT(t)
	root, err := harness.Root()
	g.Expect(err).NotTo(HaveOccurred())
	rules := chartRules(t, root)

	told := make(chan *promclient.Desc, 100)
	metrics.Collector{}.Describe(told)
	(&volumes.Watcher{}).Describe(told)
	close(told)
	var names []string
	for desc := range told {
		names = append(names, regexp.MustCompile(`consuloperator_\w+`).FindString(desc.String()))
	}
	read := regexp.MustCompile(`consuloperator_\w+`).FindAllString(rules, -1)
	g.Expect(read).NotTo(BeEmpty())
	g.Expect(read).To(HaveEach(BeElementOf(names)))

	dir := t.TempDir()
	tests, err := os.ReadFile("testdata/alerts.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(dir, "rules.yaml"), []byte(rules), 0o600)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(dir, "alerts.yaml"), tests, 0o600)).To(Succeed())
	//nolint:gosec // our own binary
	output, err := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "promtool"), "test", "rules",
		filepath.Join(dir, "alerts.yaml")).CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(output))
}

// chartRules returns the groups of rules in the chart's PrometheusRule, as a file of Prometheus has them.
func chartRules(t *testing.T, root string) string {
	t.Helper()
	g := NewWithT(t)
	//nolint:gosec // our own binary
	rendered, err := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "helm"), "template", "consul-operator",
		filepath.Join(root, "charts", "consul-operator"), "--show-only=templates/metrics.yaml",
		"--set=metrics.prometheusRule.enabled=true").CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(rendered))
	for document := range strings.SplitSeq(string(rendered), "\n---\n") {
		var rule struct {
			Kind string
			Spec map[string]any
		}
		g.Expect(yaml.Unmarshal([]byte(document), &rule)).To(Succeed())
		if rule.Kind == "PrometheusRule" {
			groups, err := yaml.Marshal(rule.Spec)
			g.Expect(err).NotTo(HaveOccurred())
			return string(groups)
		}
	}
	t.Fatal("the chart renders no PrometheusRule")
	return ""
}
