package integration

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

// A cluster that denies by default is founded. Its tokens are rotated under load without a restart, and the former ones are
// forgotten with the servers that were started with them. Then it loses the tokens of the operator and of the servers: they
// are made again. Both Secrets are lost, and a person brings the token that servers have. At last DNS answers those who have no
// token, and no longer.
func TestACLs(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "denied", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.MaxSurge = 3
	})
	s.expectAnonymous(false)
	before, former := s.processes(), s.managementToken()
	s.rotateTokens()
	s.Expect(s.processes()).To(Equal(before), "no server was replaced, or started again")
	s.expectRefused(former, "Permission denied")
	s.expectServersRegisterThemselves()

	s.patch(toVersion(newest))
	s.reach("upgraded", 3*time.Minute)
	s.Eventually(s.tokenStage, time.Minute, 100*time.Millisecond).Should(Equal(resources.TokensSettled))
	s.expectRefused(former, "ACL not found")

	before = s.processes()
	s.deleteOperatorsTokens()
	s.Eventually(s.operatorsTokens, 2*time.Minute, 100*time.Millisecond).Should(HaveLen(3), "they are made again")
	s.reach("with tokens again", time.Minute)
	s.loseTokens()
	s.reach("with a token that a user provides", time.Minute)

	s.Expect(s.foundByDNS()).To(HaveEach(0))
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.ACLs.DNS = true })
	s.Eventually(s.foundByDNS, time.Minute, 100*time.Millisecond).Should(HaveEach(3))
	s.expectAnonymous(false) // it may do nothing else
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.ACLs.DNS = false })
	s.Eventually(s.foundByDNS, time.Minute, 100*time.Millisecond).Should(HaveEach(0))
	s.Expect(s.processes()).To(Equal(before), "no server was replaced, or started again")
	s.end(1)
}

// foundByDNS is how many servers each server tells those of who have no token.
func (s *story) foundByDNS() []int {
	s.t.Helper()
	var found []int
	for _, server := range s.cluster().Status.Servers {
		resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(server.Address, strconv.Itoa(resources.PortDNS)))
		}}
		hosts, err := resolver.LookupHost(s.t.Context(), "consul.service.dc1.consul.")
		if none := (&net.DNSError{}); err != nil {
			s.Expect(errors.As(err, &none) && none.IsNotFound).To(BeTrue(), "%s: %v", server.Name, err)
		}
		found = append(found, len(hosts))
	}
	return found
}

// loseTokens deletes both Secrets that hold the management token. A person brings it, who has found it in a server.
func (s *story) loseTokens() {
	s.t.Helper()
	token := s.managementToken()
	mine := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Key.Namespace, Name: s.Key.Name + "-mine"},
		Data:       map[string][]byte{"token": []byte(token)},
	}
	s.Expect(s.Client.Create(s.t.Context(), mine)).To(Succeed())
	names := []string{resources.ManagementSecretName(s.Key.Name), resources.TokensSecretName(s.Key.Name)}
	for _, name := range names {
		s.Expect(s.Client.Delete(s.t.Context(), s.secret(name))).To(Succeed())
	}
	s.patch(func(c *v1alpha1.ConsulCluster) {
		c.Spec.ACLs.ManagementTokenSecretRef = &v1alpha1.SecretKey{Name: mine.Name}
	})
	for _, name := range names {
		s.Eventually(func(g Gomega) {
			secret := &corev1.Secret{}
			g.Expect(s.Client.Get(s.t.Context(), client.ObjectKey{Namespace: s.Key.Namespace, Name: name}, secret)).To(Succeed())
			g.Expect(secret.Data["token"]).To(BeEquivalentTo(token))
		}, time.Minute, 100*time.Millisecond).Should(Succeed())
	}
}

// rotateTokens asks for other tokens. Clients with the management token get the new one when people can read it.
func (s *story) rotateTokens() {
	s.t.Helper()
	former := s.managementToken()
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Annotations[v1alpha1.AnnotationRotateTokens] = time.Now().String() })
	s.Eventually(s.managementToken, time.Minute, 50*time.Millisecond).ShouldNot(Equal(former))
	s.Expect(s.Authenticate(s.t.Context())).To(Succeed())
	s.Eventually(s.tokenStage, time.Minute, 50*time.Millisecond).Should(Equal(resources.TokensRevoked))
	s.reach("with other tokens", time.Minute)
	s.Expect(s.operatorsTokens()).To(HaveLen(3), "the former ones are gone")
}

func (s *story) tokenStage() resources.TokenStage {
	s.t.Helper()
	return resources.TokenStageOf(s.secret(resources.TokensSecretName(s.Key.Name)))
}

func (s *story) managementToken() string {
	s.t.Helper()
	return string(s.secret(resources.ManagementSecretName(s.Key.Name)).Data["token"])
}

// expectRefused has each server refuse a token.
func (s *story) expectRefused(token, because string) {
	s.t.Helper()
	access, err := s.Access(s.t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	access.Token = &load.Token{}
	access.Token.Set(token)
	for _, server := range s.cluster().Status.Servers {
		agent, err := access.Agent(access.At(server.Address), 10*time.Second)
		s.Expect(err).NotTo(HaveOccurred())
		_, err = agent.KV().Put(&api.KVPair{Key: "former"}, nil)
		s.Expect(err).To(MatchError(ContainSubstring(because)), server.Name)
	}
}

// A cluster that runs gets ACLs: nobody is denied anything before a person says so, who has given tokens to clients.
func TestACLsOfARunningCluster(t *testing.T) {
	long(t)
	s := begin(t, shared, "denied-later", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.MaxSurge, spec.ACLs.Enabled = 3, new(false)
	})
	s.Observer.AllowLeaderChanges(2)
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.ACLs.Enabled = new(true) })
	s.until("servers check tokens", inACLPhase(v1alpha1.ACLsAllow))
	s.reach("allowed", 2*time.Minute)
	s.expectAnonymous(true)

	s.Eventually(s.operatorsTokens, time.Minute, 100*time.Millisecond).Should(HaveLen(3), "they are made")
	s.Expect(s.Authenticate(t.Context())).To(Succeed())
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.ACLs.DefaultPolicy = v1alpha1.ACLDefaultDeny })
	s.until("servers deny", inACLPhase(v1alpha1.ACLsDeny))
	s.reach("denied", 2*time.Minute)
	s.expectAnonymous(false)
	s.end(2)

	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.ACLs = v1alpha1.ACLs{Enabled: new(false)} })
	s.until("servers check nothing", inACLPhase(v1alpha1.ACLsOff))
	s.reach("open", 5*time.Minute)
	s.expectAnonymous(true)
}

func inACLPhase(phase v1alpha1.ACLPhase) func(*v1alpha1.ConsulCluster) bool {
	return func(c *v1alpha1.ConsulCluster) bool { return c.Status.ACLs == phase }
}

// expectAnonymous has each server answer those who have no token, or tell them nothing.
func (s *story) expectAnonymous(open bool) {
	s.t.Helper()
	access, err := s.Access(s.t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	access.Token = nil
	for _, server := range s.cluster().Status.Servers {
		agent, err := access.Agent(access.At(server.Address), 10*time.Second)
		s.Expect(err).NotTo(HaveOccurred())
		_, err = agent.KV().Put(&api.KVPair{Key: "anonymous"}, nil)
		if open {
			s.Expect(err).NotTo(HaveOccurred(), server.Name)
		} else {
			s.Expect(err).To(MatchError(ContainSubstring("Permission denied")), server.Name)
		}
	}
}

// expectServersRegisterThemselves has each server write its own node into the catalog, which takes its token. The leader
// registers nodes as well, without the metadata that only an agent knows.
func (s *story) expectServersRegisterThemselves() {
	s.t.Helper()
	for _, server := range s.cluster().Status.Servers {
		_, err := s.admin().Catalog().Deregister(&api.CatalogDeregistration{Node: server.Name}, nil)
		s.Expect(err).NotTo(HaveOccurred())
	}
	s.Eventually(func(g Gomega) {
		nodes, _, err := s.admin().Catalog().Nodes(nil)
		g.Expect(err).NotTo(HaveOccurred())
		kept := map[string]bool{}
		for _, node := range nodes {
			_, kept[node.Node] = node.Meta["consul-network-segment"]
		}
		for _, server := range s.cluster().Status.Servers {
			g.Expect(kept).To(HaveKeyWithValue(server.Name, true))
		}
	}, 2*time.Minute, time.Second).Should(Succeed())
}

// admin is a client of a server, with the management token.
func (s *story) admin() *api.Client {
	s.t.Helper()
	access, err := s.Access(s.t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(s.Authenticate(s.t.Context())).To(Succeed())
	agent, err := access.Agent(access.At(s.cluster().Status.Servers[0].Address), 10*time.Second)
	s.Expect(err).NotTo(HaveOccurred())
	return agent
}

// operatorsTokens are the accessors of the tokens that the operator makes.
func (s *story) operatorsTokens() (accessors []string) {
	s.t.Helper()
	tokens, _, err := s.admin().ACL().TokenList(nil)
	if err != nil {
		return nil
	}
	for _, token := range tokens {
		if len(token.Policies) == 1 && token.Policies[0].Name != "global-management" {
			accessors = append(accessors, token.AccessorID)
		}
	}
	return accessors
}

func (s *story) deleteOperatorsTokens() {
	s.t.Helper()
	made := s.operatorsTokens()
	s.Expect(made).To(HaveLen(3))
	for _, accessor := range made {
		_, err := s.admin().ACL().TokenDelete(accessor, nil)
		s.Expect(err).NotTo(HaveOccurred())
	}
}
