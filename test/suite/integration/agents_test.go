package integration

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// Client agents join a cluster with gossip encryption, TLS and ACLs: one with a certificate that servers issue, one with a
// certificate of the cluster's authority. Both follow the servers through an upgrade. The metrics of all servers are read with a
// token.
func TestClientAgents(t *testing.T) {
	long(t)
	s := begin(t, shared, "with-agents", func(spec *v1alpha1.ConsulClusterSpec) {
		spec.Update.MaxSurge = 3
		spec.Config = &v1alpha1.Config{Raw: []byte(`{
			"autopilot": {"server_stabilization_time": "1s"},
			"auto_encrypt": {"allow_tls": true},
			"telemetry": {"prometheus_retention_time": "1m", "disable_hostname": true}
		}`)}
	})
	scraper := s.newToken("metrics", `agent_prefix "" { policy = "read" }`)
	s.expectScraped(scraper)
	agents := []clientAgent{
		s.join("auto-encrypt", "-hcl=auto_encrypt { tls = true }"),
		s.join("own-certificate", s.withClientCertificate()),
	}
	s.expectServed(agents)

	s.patch(toVersion(newest))
	s.reach("upgraded", 3*time.Minute)
	s.expectServed(agents)
	s.expectScraped(scraper)
	s.end(1)
}

type clientAgent struct {
	*api.Client
	name, address string
}

// join starts a client agent that has a service, and a token to register both.
func (s *story) join(name string, flags ...string) clientAgent {
	s.t.Helper()
	token := s.newToken(name, fmt.Sprintf(`node %q { policy = "write" } service "web" { policy = "write" }`, name))
	authority := s.writeFiles(s.secret(resources.AuthoritiesSecretName(s.Key.Name)).Data)
	ip, log, _ := s.startAgent(name, append(flags,
		"-encrypt="+string(s.gossipSecret().Data["key"]),
		fmt.Sprintf(`-hcl=tls { defaults { ca_file = "%s/tls.crt", verify_outgoing = true } }`, authority),
		"-hcl=tls { internal_rpc { verify_server_hostname = true } }",
		fmt.Sprintf(`-hcl=acl { enabled = true, tokens { agent = %[1]q, default = %[1]q } }`, token),
		`-hcl=service { name = "web" }`,
	)...)
	s.t.Cleanup(func() {
		if said, _ := readFile(log); s.t.Failed() {
			s.t.Log(said)
		}
	})
	access, err := s.Access(s.t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	agent, err := api.NewClient(&api.Config{Address: net.JoinHostPort(ip, "8500"), Token: access.Token.Get()})
	s.Expect(err).NotTo(HaveOccurred())
	return clientAgent{agent, name, ip}
}

// newToken makes a token with a policy of the same name.
func (s *story) newToken(name, rules string) string {
	s.t.Helper()
	acls := s.admin().ACL()
	_, _, err := acls.PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, nil)
	s.Expect(err).NotTo(HaveOccurred())
	token, _, err := acls.TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{Name: name}}}, nil)
	s.Expect(err).NotTo(HaveOccurred())
	return token.SecretID
}

// withClientCertificate is how an agent is told to present a certificate of the cluster's authority, which is made by Consul.
func (s *story) withClientCertificate() (flag string) {
	s.t.Helper()
	root, err := harness.Root()
	s.Expect(err).NotTo(HaveOccurred())
	dir := s.writeFiles(s.secret(resources.AuthoritySecretName(s.Key.Name)).Data)
	issue := exec.Command(filepath.Join(root, "bin", "consul-"+older), //nolint:gosec // a program of bin/
		"tls", "cert", "create", "-client", "-ca=tls.crt", "-key=tls.key")
	issue.Dir = dir
	said, err := issue.CombinedOutput()
	s.Expect(err).NotTo(HaveOccurred(), "%s", said)
	const files = `-hcl=tls { defaults { cert_file = "%[1]s.pem", key_file = "%[1]s-key.pem" } }`
	return fmt.Sprintf(files, filepath.Join(dir, "dc1-client-consul-0"))
}

// expectServed has servers and agents know each other and nobody else, and each agent in the catalog with its service.
func (s *story) expectServed(agents []clientAgent) {
	s.t.Helper()
	members := s.wanted()
	for _, agent := range agents {
		members = append(members, agent.name+" "+agent.address)
	}
	for _, agent := range agents {
		s.Eventually(func(g Gomega) {
			g.Expect(aliveTo(agent.Client)).To(ConsistOf(members))
			services, _, err := agent.Catalog().Service("web", "", &api.QueryOptions{RequireConsistent: true})
			g.Expect(err).NotTo(HaveOccurred())
			var nodes []string
			for _, service := range services {
				nodes = append(nodes, service.Node)
			}
			g.Expect(nodes).To(ContainElement(agent.name))
		}, time.Minute, 100*time.Millisecond).Should(Succeed(), agent.name)
	}
}

// expectScraped has all servers tell their metrics in the format of Prometheus, and one of them that it leads.
func (s *story) expectScraped(token string) {
	s.t.Helper()
	s.Eventually(func(g Gomega) {
		leaders := 0
		for _, server := range s.cluster().Status.Servers {
			status, said := s.callWith(token, server.Address, "GET /v1/agent/metrics?format=prometheus")
			g.Expect(status).To(Equal(http.StatusOK), said)
			g.Expect(said).To(ContainSubstring("\nconsul_server_isLeader "))
			leaders += strings.Count(said, "\nconsul_server_isLeader 1\n")
		}
		g.Expect(leaders).To(Equal(1))
	}, time.Minute, time.Second).Should(Succeed())
}
