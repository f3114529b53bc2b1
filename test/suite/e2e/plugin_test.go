package e2e

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plugin"
)

var _ = Describe("kubectl consul", Ordered, ContinueOnFailure, func() {
	installed()
	var c *consul

	BeforeAll(func() {
		c = create("reach", func(*v1alpha1.ConsulClusterSpec) {})
	})

	It("runs commands beside the leader, with what they read, print and return", func() {
		for _, words := range [][]string{{"exec"}, {"exec", "consul"}} {
			peers := c.plugin("", append(words, "--", "consul", "operator", "raft", "list-peers")...)
			Expect(peers.code).To(BeZero(), peers.errOut)
			Expect(peers.out).To(MatchRegexp(c.get().Status.Leader + ` .* leader `))
		}
		Expect(c.plugin("hello", "exec", "--", "consul", "kv", "put", "greeting", "-").out).To(ContainSubstring("Success!"))
		Expect(c.plugin("", "exec", "--", "consul", "kv", "get", "greeting").out).To(Equal("hello\n"))
		none := c.plugin("", "exec", "--", "consul", "kv", "get", "nothing")
		Expect(none.code).To(Equal(1))
		Expect(none.errOut).To(Equal("Error! No key exists at: nothing\n"), "it says what went wrong, and nobody else does")
		for _, server := range c.get().Status.Servers {
			Expect(c.plugin("", "exec", "--pod", server.Name, "--", "consul", "info").out).To(ContainSubstring("num_peers = 2"))
		}
		Expect(c.plugin("", "exec", "--", "no-such-command").code).NotTo(BeZero())
	})

	It("prints the token", func() {
		Expect(c.plugin("", "token")).To(Equal(answer{0, c.managementToken() + "\n", ""}))
	})

	It("reaches the UI, also when the server goes away", func() {
		ctx, stop := context.WithCancel(GinkgoT().Context())
		defer stop()
		out, errOut, ended := gbytes.NewBuffer(), gbytes.NewBuffer(), make(chan int, 1)
		streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: errOut}
		go func() { ended <- plugin.Run(ctx, streams, "test", c.line("ui", "--port=0")) }()
		Eventually(out, "10s").Should(gbytes.Say("until Ctrl-C"))
		address, _, _ := strings.Cut(strings.TrimPrefix(string(out.Contents()), "The UI of consul is at "), "/ui ")
		Expect(address).To(HavePrefix("http://localhost:"))
		Expect(c.request(http.MethodGet, address+"/ui/", nil)).To(ContainSubstring("<title>Consul"))
		leader := c.get().Status.Leader
		Eventually(errOut, "10s").Should(gbytes.Say("Connected to " + leader))

		kubectl("delete", "pod", leader, c.in(), "--wait=false")
		Eventually(errOut, "30s").Should(gbytes.Say("Connected to "))
		Eventually(func() error {
			response, err := http.Get(address + "/v1/status/leader") //nolint:gosec // our own tunnel
			if err == nil {
				err = response.Body.Close()
			}
			return err
		}, "30s", "500ms").Should(Succeed())
		stop()
		Eventually(ended, "10s").Should(Receive(Equal(130)))
		Expect(string(out.Contents()) + string(errOut.Contents())).NotTo(ContainSubstring(c.managementToken()))
		c.ready(2 * time.Minute)
	})

	It("saves to a file, and restores from it", func() {
		file := filepath.Join(GinkgoT().TempDir(), "consul.snap")
		c.plugin("saved", "exec", "--", "consul", "kv", "put", "greeting", "-")
		saved := c.plugin("", "snapshot", "save", "--to", file)
		Expect(saved.code).To(BeZero(), saved.errOut)
		Expect(saved.errOut).To(ContainSubstring("not encrypted"))
		info, err := os.Stat(file)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))
		Expect(c.plugin("", "snapshot", "save", "--to", file).errOut).To(ContainSubstring("is not overwritten"))

		c.plugin("changed", "exec", "--", "consul", "kv", "put", "greeting", "-")
		Expect(c.plugin("", "snapshot", "restore", "--from", file).errOut).To(ContainSubstring("nobody can be asked here"))
		restored := c.plugin("", "snapshot", "restore", "--from", file, "--yes")
		Expect(restored.code).To(BeZero(), restored.errOut)
		Expect(restored.out + saved.out + saved.errOut).NotTo(ContainSubstring(c.managementToken()))
		c.ready(2 * time.Minute)
		Expect(c.plugin("", "exec", "--", "consul", "kv", "get", "greeting").out).To(Equal("saved\n"))

		content, err := os.ReadFile(file)
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(file, content[:len(content)-1], 0o600)).To(Succeed())
		Expect(c.plugin("", "snapshot", "restore", "--from", file, "--yes").errOut).To(ContainSubstring("nothing was changed"))
	})

	It("shows the logs of kubelets in the order of time", func() {
		all := c.plugin("", "logs")
		Expect(all.code).To(BeZero(), all.errOut)
		Expect(all.out).To(MatchRegexp(`(?m)^\* consul-\d+ +\d{4}-\S+ \[INFO\]  agent.server: cluster leadership acquired$`))
		Expect(strings.Count(c.plugin("", "logs", "--tail", "2").out, "\n")).To(BeNumerically("<=", 6))
		Expect(c.plugin("", "logs", "--since", "1s").out).NotTo(Equal(all.out))
	})
})

// answer is what a command ends with.
type answer struct {
	code        int
	out, errOut string
}

// plugin runs `kubectl consul` in the namespace of the cluster.
func (c *consul) plugin(stdin string, words ...string) answer {
	GinkgoHelper()
	var out, errOut bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(stdin), Out: &out, ErrOut: &errOut}
	code := plugin.Run(GinkgoT().Context(), streams, "test", c.line(words...))
	return answer{code, out.String(), errOut.String()}
}

func (c *consul) line(words ...string) []string {
	return append([]string{"--kubeconfig=" + env.Kubeconfig(), c.in()}, words...)
}
