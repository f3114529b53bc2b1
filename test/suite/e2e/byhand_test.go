package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// What docs/runbooks/lost-quorum.md says for a day without the operator, typed as it is there: three servers of five are lost.
var _ = Describe("a person", Ordered, func() {
	installed()

	It("recovers from a lost quorum without the operator", func() {
		c := create("by-hand", func(spec *v1alpha1.ConsulClusterSpec) { spec.Replicas = 5 })
		Expect(c.names()).To(ConsistOf("consul-0", "consul-1", "consul-2", "consul-3", "consul-4"))
		consul := func(args ...string) string {
			return kubectl(append([]string{"exec", "consul-3", "--container=consul", c.in(), "--", "consul"}, args...)...)
		}
		consul("kv", "put", "before", "it was lost")
		replicas := kubectl("get", "deployment", "consul-operator", "--namespace="+operators, "--output=jsonpath={.spec.replicas}")
		commands := blocks("## Without the operator")
		Expect(commands).To(HaveLen(2))

		start := time.Now()
		printed, err := c.sh(commands[0])
		Expect(err).NotTo(HaveOccurred(), printed)
		leads, back, _ := strings.Cut(commands[1], "\n")
		Expect(leads).To(ContainSubstring("list-peers"))
		Eventually(func() (string, error) { return c.sh(leads) }, "2m", "1s").Should(
			And(ContainSubstring("leader"), ContainSubstring("consul-3"), ContainSubstring("consul-4"), Not(ContainSubstring("consul-0"))))
		AddReportEntry("a leader again after", time.Since(start).Round(time.Second).String())
		Expect(consul("kv", "get", "before")).To(ContainSubstring("it was lost"))
		printed, err = c.sh("replicas=" + replicas + "\n" + back)
		Expect(err).NotTo(HaveOccurred(), printed)
		Eventually(c.names, "5m", "1s").Should(And(HaveLen(5), ContainElements("consul-3", "consul-4")), "the operator adds three")
		c.ready(5 * time.Minute)
		Expect(c.names()).To(And(HaveLen(5), ContainElements("consul-3", "consul-4")))
		Expect(consul("kv", "get", "before")).To(ContainSubstring("it was lost"))
	})
})

// blocks are the commands under a heading of the runbook of a lost quorum.
func blocks(heading string) (all []string) {
	GinkgoHelper()
	root, err := harness.Root()
	Expect(err).NotTo(HaveOccurred())
	page, err := os.ReadFile(filepath.Join(root, "docs", "runbooks", "lost-quorum.md")) //nolint:gosec // our own file
	Expect(err).NotTo(HaveOccurred())
	_, section, found := strings.Cut(string(page), "\n"+heading+"\n")
	Expect(found).To(BeTrue())
	section, _, _ = strings.Cut(section, "\n## ")
	for paragraph := range strings.SplitSeq(section, "\n\n") {
		if strings.HasPrefix(strings.TrimLeft(paragraph, "\n"), "    ") {
			all = append(all, strings.TrimLeft(paragraph, "\n"))
		}
	}
	return all
}

// sh runs commands in the namespace of the cluster, and returns what they print.
func (c *consul) sh(commands string) (string, error) {
	root, err := harness.Root()
	if err != nil {
		return "", err
	}
	shell := exec.CommandContext(GinkgoT().Context(), "bash", "-euo", "pipefail", "-c", //nolint:gosec // commands of ours
		"kubectl() { '"+filepath.Join(root, "bin", "kubectl")+"' "+c.in()+" \"$@\"; }\n"+commands)
	shell.Stderr = GinkgoWriter
	output, err := shell.Output()
	return string(output), err
}
