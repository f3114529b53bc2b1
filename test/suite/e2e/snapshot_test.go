package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"os/exec"
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

var _ = Describe("kubectl port-forward", Ordered, ContinueOnFailure, func() {
	installed()

	It("shows the UI, and restores a snapshot into a new cluster where all volumes are gone", func() {
		c := create("snapshot", func(spec *v1alpha1.ConsulClusterSpec) { spec.ACLs.DNS = true })
		spec, former := c.get().Spec, c.ids()
		stop, address := c.portForward()
		Expect(c.request(http.MethodGet, address+"/ui/", nil)).To(ContainSubstring("<title>Consul"))
		c.request(http.MethodPut, address+"/v1/kv/greeting", []byte("hello"))
		snapshot := c.request(http.MethodGet, address+"/v1/snapshot", nil)
		stop()

		kubectl("delete", "consulcluster/consul", "--timeout=1m", c.in())
		again := &v1alpha1.ConsulCluster{Spec: spec}
		again.Name, again.Namespace = c.Key.Name, c.Key.Namespace
		Expect(env.Client.Create(GinkgoT().Context(), again)).To(Succeed())
		c.ready(2 * time.Minute)
		stop, address = c.portForward()
		defer stop()
		status, _ := c.ask(http.MethodGet, address+"/v1/kv/greeting", nil)
		Expect(status).To(Equal(http.StatusNotFound), "nothing is left of the first cluster")
		ids := c.ids()
		for name, id := range ids {
			Expect(former).To(HaveKeyWithValue(name, Not(Equal(id))), "the snapshot has nodes of the same names with other ids")
		}
		c.request(http.MethodPut, address+"/v1/snapshot", []byte(snapshot))
		Expect(c.request(http.MethodGet, address+"/v1/kv/greeting?raw", nil)).To(Equal("hello"))
		restored := time.Now()
		c.until("it is not Ready without servers in the catalog", func(c *v1alpha1.ConsulCluster) bool {
			return !harness.IsReady(c) && strings.Contains(harness.Saying(c), "catalog")
		})
		c.ready(2 * time.Minute)
		Expect(c.catalog()).To(Equal(ids), "the former nodes are taken out, and the leader registers its own")
		Eventually(c.lookup, "10s", "200ms").Should(ConsistOf(c.addresses()))
		AddReportEntry("in the catalog again", time.Since(restored).Round(100*time.Millisecond).String())
	})
})

// portForward runs kubectl until it is stopped, and returns where Consul's API is on this machine meanwhile.
func (c *consul) portForward() (stop func(), address string) {
	GinkgoHelper()
	root, err := harness.Root()
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(GinkgoT().Context())
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin", "kubectl"), //nolint:gosec // our own binary
		"port-forward", "service/consul-join", ":8500", c.in()) // by HTTPS, clients need its authority
	output, err := cmd.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	cmd.Stderr = GinkgoWriter
	Expect(cmd.Start()).To(Succeed())
	stop = func() { cancel(); _ = cmd.Wait() }
	said, err := bufio.NewReader(output).ReadString('\n')
	Expect(err).NotTo(HaveOccurred())
	return stop, "http://" + regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(said)
}

// request returns the body of the answer.
func (c *consul) request(method, url string, body []byte) string {
	GinkgoHelper()
	status, answer := c.ask(method, url, body)
	Expect(status).To(Equal(http.StatusOK), "%s %s: %s", method, url, answer)
	return answer
}

// ask returns the status and the body of the answer to somebody who may do everything.
func (c *consul) ask(method, url string, body []byte) (status int, answer string) {
	GinkgoHelper()
	r, err := http.NewRequestWithContext(GinkgoT().Context(), method, url, bytes.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	r.Header.Set("X-Consul-Token", c.managementToken())
	response, err := http.DefaultClient.Do(r)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, string(text)
}

func (c *consul) managementToken() string {
	GinkgoHelper()
	text := kubectl("get", "secret", resources.ManagementSecretName(c.Key.Name), c.in(), "-o=jsonpath={.data.token}")
	token, err := base64.StdEncoding.DecodeString(text)
	Expect(err).NotTo(HaveOccurred())
	return string(token)
}
