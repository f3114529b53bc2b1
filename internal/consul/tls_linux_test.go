package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/resources"
)

const serverName = "server.dc1.consul"

// secured are servers with certificates of one authority: as the operator configures them, but for HTTP, which stays open.
func secured(t *testing.T, version string, n int) (servers *realServers, authority pki.Pair) {
	t.Helper()
	g := NewWithT(t)
	authority, err := pki.NewAuthority("test", time.Now())
	g.Expect(err).NotTo(HaveOccurred())
	servers = newServers(t, version, n)
	servers.prepare = func(s *realServer) { s.enterTLSPhase(t, v1alpha1.TLSRequired, authority) }
	for range n {
		servers.start()
	}
	return servers, authority
}

// enterTLSPhase gives a server a certificate, and the configuration of a phase, as its pod would.
func (s *realServer) enterTLSPhase(t *testing.T, phase v1alpha1.TLSPhase, authority pki.Pair) {
	t.Helper()
	g := NewWithT(t)
	s.certify(t, authority)
	cluster := &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{UID: "u", Annotations: map[string]string{
		v1alpha1.AnnotationTLS: string(phase), v1alpha1.AnnotationRecordsOf: "u",
	}}}
	file, err := resources.AgentConfig(cluster)
	g.Expect(err).NotTo(HaveOccurred())
	var config map[string]any
	g.Expect(json.Unmarshal(file, &config)).To(Succeed())
	text, err := json.Marshal(map[string]any{"tls": config["tls"], "ports": config["ports"]})
	g.Expect(err).NotTo(HaveOccurred())
	s.writeSettings(t, strings.ReplaceAll(string(text), "/consul/tls/", s.dir+"/"))
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
			g.Expect(agent.WatchLeader(ctx)(func() { opened++; cancel() })).To(MatchError(context.Canceled))
			g.Expect(opened).To(Equal(1))
			index, err := agent.WatchServers(t.Context(), 0, time.Second)()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(index).NotTo(BeZero())

			stranger, err := pki.NewAuthority("test", time.Now())
			g.Expect(err).NotTo(HaveOccurred())
			for _, agent := range []Agent{
				servers.dialHTTPS(server, stranger, serverName), servers.dialHTTPS(server, authority, "server.dc2.consul"),
			} {
				_, err := agent.Self(t.Context())
				g.Expect(err).To(MatchError(ErrUntrusted))
				g.Expect(agent.WatchLeader(t.Context())(func() {})).To(MatchError(ErrUntrusted))
			}
		})
	}
}

// Servers take RPC from each other if their phases of TLS are the same or next to each other. The planner goes by it. A server
// asks the leader, and gets the log from it: one of the two fails where phases are further apart. Their versions do not matter.
// Among themselves, servers that are HTTPSOnly are no others than those in phase Required.
func TestTLSPhases(t *testing.T) {
	t.Parallel()
	phases := []v1alpha1.TLSPhase{v1alpha1.TLSOff, v1alpha1.TLSAccepting, v1alpha1.TLSSending, v1alpha1.TLSRequired}
	for _, versions := range mixed {
		for order, phase := range phases {
			t.Run(fmt.Sprintf("%s leads %s/%s", versions[0], versions[1], phase), func(t *testing.T) {
				t.Parallel()
				g := NewWithT(t)
				authority, err := pki.NewAuthority("test", time.Now())
				g.Expect(err).NotTo(HaveOccurred())
				servers := newServers(t, versions[0], 1)
				servers.prepare = func(s *realServer) { s.enterTLSPhase(t, phase, authority) }
				servers.start()
				leader := servers.leader()
				servers.binary = binaryOf(t, versions[1])
				var far []*realServer
				for other, phase := range phases {
					servers.prepare = func(s *realServer) {
						s.joinsOnly()
						s.enterTLSPhase(t, phase, authority)
					}
					switch apart := other - order; {
					case apart == 1, apart == -1:
						near := servers.start()
						g.Eventually(func() error { return near.follows(t) }, time.Minute, 50*time.Millisecond).Should(Succeed(),
							"%s, led by %s", phase, phases[order])
					case apart != 0:
						far = append(far, servers.start())
					}
				}
				for _, server := range far {
					g.Eventually(func() (int, error) { return server.statusBy(leader) }, time.Minute, 50*time.Millisecond).
						Should(Equal(1), "alive")
				}
				g.Consistently(func(g Gomega) {
					for _, server := range far {
						g.Expect(server.follows(t)).NotTo(Succeed(), server.name)
					}
				}, 3*time.Second, 200*time.Millisecond).Should(Succeed())
			})
		}
	}
}

// joinsOnly has a server found nothing.
func (s *realServer) joinsOnly() {
	s.args = slices.DeleteFunc(s.args, func(arg string) bool { return strings.HasPrefix(arg, "-bootstrap-expect=") })
}

// follows fails if a server does not get the log, or cannot ask the leader.
func (s *realServer) follows(t *testing.T) error {
	t.Helper()
	self, err := s.Self(t.Context())
	if err != nil {
		return err
	}
	if self.LastIndex == 0 {
		return errors.New("it has got nothing")
	}
	_, _, err = s.client().Catalog().Nodes(nil)
	return err
}

// A server without a certificate is no part of a cluster that has them.
func TestRPCWithoutACertificate(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	servers, _ := secured(t, "1.22.7", 1)
	leader := servers.leader()
	servers.prepare = (*realServer).joinsOnly
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
