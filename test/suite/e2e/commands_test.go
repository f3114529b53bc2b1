package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// What docs/security.md tells people to type does what it says there.
var _ = Describe("the commands of the page on security", Ordered, ContinueOnFailure, func() {
	installed()

	var c *consul
	BeforeAll(func() {
		c = create("typed", func(*v1alpha1.ConsulClusterSpec) {})
	})

	It("show what is open, and let people log in", func() {
		Expect(c.typed(`kubectl get consulcluster consul -o jsonpath='{.status.conditions[?(@.type=="Secure")].message}'`)).
			To(ContainSubstring("ACLs that deny are on"))
		Expect(strings.Count(c.typed("kubectl exec consul-0 -- consul members"), "alive")).To(Equal(3))
		Expect(c.typed("kubectl exec consul-0 -- consul kv put greeting hello")).To(ContainSubstring("Success!"))
		access := c.get().Status.Access // the page leaves the namespace out
		Expect(c.typed(strings.Replace(access.Token, "-n "+c.Key.Namespace+" ", "", 1))).To(Equal(c.managementToken()))
		Expect(access.PortForward).To(Equal("kubectl -n " + c.Key.Namespace + " port-forward service/consul-join 8500"))
		Expect(c.typed("kubectl get secret consul-gossip-encryption-key -o jsonpath='{.data.key}' | base64 -d")).
			To(Equal(c.gossipKey()))
	})

	It("replace the gossip key and the tokens without a restart", func() {
		before, key, token := c.pods(), c.gossipKey(), c.managementToken()
		c.typed(`kubectl annotate consulcluster consul --overwrite consuloperator.io/rotate-gossip-key="$(date -Is)"`)
		Eventually(c.gossipStage, "2m", "200ms").Should(Equal(resources.GossipSettled))
		Eventually(c.gossipKey, "2m", "200ms").ShouldNot(Equal(key))
		c.typed(`kubectl annotate consulcluster consul --overwrite consuloperator.io/rotate-tokens="$(date -Is)"`)
		Eventually(c.managementToken, "2m", "200ms").ShouldNot(Equal(token))
		c.ready(2 * time.Minute)
		Expect(c.pods()).To(Equal(before))
	})

	It("bring the management token back when both Secrets are lost", func() {
		before, token := c.pods(), c.managementToken()
		kubectl("delete", "secret", "consul-bootstrap-acl-token", "consul-acl-tokens", c.in())
		c.typed(`kubectl create secret generic my-token --from-literal=token="$(kubectl exec consul-0 -- cat /consul/acl/token)"`)
		c.typed(`kubectl patch consulcluster consul --type=merge -p ` +
			`'{"spec": {"acls": {"managementTokenSecretRef": {"name": "my-token"}}}}'`)
		Eventually(func() string {
			return kubectl("get", "secret", "-o=name", c.in())
		}, "1m", "200ms").Should(And(ContainSubstring("consul-bootstrap-acl-token"), ContainSubstring("consul-acl-tokens")))
		Expect(c.managementToken()).To(Equal(token))
		c.ready(2 * time.Minute)
		Expect(c.pods()).To(Equal(before))
	})

	It("replace all servers", func() {
		before, former := c.pods(), c.get().Status.Revision
		c.typed(`kubectl annotate consulcluster consul --overwrite consuloperator.io/restartedAt="$(date -Is)"`)
		c.until("another revision is wanted", func(c *v1alpha1.ConsulCluster) bool { return c.Status.Revision != former })
		c.ready(5 * time.Minute)
		for pod := range c.pods() {
			Expect(before).NotTo(HaveKey(pod))
		}
	})
})

// comment is what follows a command on its line, and inline a command amid text.
var (
	comment = regexp.MustCompile(`\s{3,}#.*$`)
	inline  = regexp.MustCompile("`(kubectl [^`]+)`")
)

// typed runs a command of docs/security.md or docs/backup.md in the namespace of the cluster, and returns what it prints. It
// fails if neither page has the command, so what is tried and what is written cannot differ.
func (c *consul) typed(command string) string {
	GinkgoHelper()
	root, err := harness.Root()
	Expect(err).NotTo(HaveOccurred())
	var commands []string
	for _, name := range []string{"security.md", "backup.md"} {
		page, err := os.ReadFile(filepath.Join(root, "docs", name))
		Expect(err).NotTo(HaveOccurred())
		for _, typed := range inline.FindAllSubmatch(page, -1) {
			commands = append(commands, string(typed[1]))
		}
		for line := range strings.Lines(string(page)) {
			if typed, is := strings.CutPrefix(line, "    "); is {
				commands = append(commands, comment.ReplaceAllString(strings.TrimSpace(typed), ""))
			}
		}
	}
	Expect(commands).To(ContainElement(command))
	output, err := c.sh(command)
	Expect(err).NotTo(HaveOccurred(), "%s: %s", command, output)
	return output
}
