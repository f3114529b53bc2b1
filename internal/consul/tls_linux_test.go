package consul

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/consul-operator/consul-operator/internal/pki"
)

const serverName = "server.dc1.consul"

// secured are servers with certificates of one authority: as the operator configures them, but for HTTP, which stays open.
func secured(t *testing.T, version string, n int) (servers *realServers, authority pki.Pair) {
	t.Helper()
	g := NewWithT(t)
	authority, err := pki.NewAuthority("test", time.Now())
	g.Expect(err).NotTo(HaveOccurred())
	servers = newServers(t, version, n)
	servers.prepare = func(s *realServer) {
		s.certify(t, authority)
		file := func(name string) string { return filepath.Join(s.dir, name) }
		config, err := json.Marshal(map[string]any{"ports": map[string]any{"https": 8501}, "tls": map[string]any{
			"defaults": map[string]any{
				"ca_file": file("ca.crt"), "cert_file": file("tls.crt"), "key_file": file("tls.key"), "verify_outgoing": true,
			},
			"internal_rpc": map[string]any{"verify_incoming": true, "verify_server_hostname": true},
		}})
		g.Expect(err).NotTo(HaveOccurred())
		s.writeSettings(t, string(config))
	}
	for range n {
		servers.start()
	}
	return servers, authority
}

// certify gives a server a new certificate, and returns what identifies it.
func (s *realServer) certify(t *testing.T, authority pki.Pair) string {
	t.Helper()
	g := NewWithT(t)
	pair, err := pki.Issue(authority, []string{serverName, "127.0.0.1"}, time.Now())
	g.Expect(err).NotTo(HaveOccurred())
	for name, text := range map[string][]byte{"ca.crt": authority.Certificate, "tls.crt": pair.Certificate, "tls.key": pair.Key} {
		g.Expect(os.WriteFile(filepath.Join(s.dir, name), text, 0o600)).To(Succeed())
	}
	facts, err := pki.Inspect(pair.Certificate, authority.Certificate)
	g.Expect(err).NotTo(HaveOccurred())
	return facts.Fingerprint
}

// dialHTTPS is the agent of a server that is believed to have a certificate of this authority and name.
func (s *realServers) dialHTTPS(server *realServer, authority pki.Pair, name string) Agent {
	pools := &Pools{}
	return s.dial(Target{
		Scheme: "https", Address: server.ip + ":8501", TLS: pools.Of(types.NamespacedName{}, authority.Certificate, name),
	})
}

// Servers with certificates elect a leader, are called by HTTPS, whatever their address, and present a new certificate without a
// restart. Who presents another one is not called.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.19.2", "1.22.7"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			servers, authority := secured(t, version, 3)
			server := servers.leader()
			agent := servers.dialHTTPS(server, authority, serverName)
			self, err := agent.Self(t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(self.Leads).To(BeTrue())
			g.Expect(self.Certificate).NotTo(BeEmpty())
			g.Expect(server.Self(t.Context())).To(HaveField("Certificate", BeEmpty()), "by HTTP")

			wanted := server.certify(t, authority)
			g.Expect(agent.Self(t.Context())).To(HaveField("Certificate", self.Certificate), "nothing is read by itself")
			g.Expect(agent.Reload(t.Context())).To(Succeed())
			g.Expect(agent.Self(t.Context())).To(HaveField("Certificate", wanted))
			g.Expect(servers.leader()).To(Equal(server), "and the others still hear it")

			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			opened := 0
			g.Expect(agent.WatchLeader(ctx, func() { opened++; cancel() })).To(MatchError(context.Canceled))
			g.Expect(opened).To(Equal(1))
			index, err := agent.WatchServers(t.Context(), 0, time.Second)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(index).NotTo(BeZero())

			stranger, err := pki.NewAuthority("test", time.Now())
			g.Expect(err).NotTo(HaveOccurred())
			for _, agent := range []Agent{
				servers.dialHTTPS(server, stranger, serverName), servers.dialHTTPS(server, authority, "server.dc2.consul"),
			} {
				_, err := agent.Self(t.Context())
				g.Expect(err).To(MatchError(ErrUntrusted))
				g.Expect(agent.WatchLeader(t.Context(), func() {})).To(MatchError(ErrUntrusted))
			}
		})
	}
}

// A server without a certificate is no part of a cluster that has them.
func TestRPCWithoutACertificate(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	servers, _ := secured(t, "1.22.7", 1)
	leader := servers.leader()
	servers.prepare = func(s *realServer) {
		s.args = slices.DeleteFunc(s.args, func(arg string) bool { return strings.HasPrefix(arg, "-bootstrap-expect=") })
	}
	plain := servers.start()
	g.Eventually(func() (int, error) { return plain.statusBy(leader) }, 30*time.Second, 50*time.Millisecond).
		Should(Equal(1), "alive")
	g.Eventually(func() string { return plain.log.String() + leader.log.String() }, 30*time.Second, 50*time.Millisecond).
		Should(ContainSubstring("tls"), "one of them says why")
	g.Expect(leader.RaftPeers(t.Context())).To(ContainElement(HaveField("Voter", true)))
	self, err := plain.Self(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(self.LastIndex).To(BeZero(), "it has got nothing")
}
