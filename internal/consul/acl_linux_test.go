package consul

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// authorize gives a server ACLs that deny, and the tokens that servers have.
func (s *realServer) authorize(t *testing.T, dial Dialer, management string) {
	t.Helper()
	s.writeTokens(t, management)
	acls := filepath.Join(s.dir, "acl.json")
	NewWithT(t).Expect(os.WriteFile(acls, []byte(`{"acl": {"enabled": true, "default_policy": "deny"}}`), 0o600)).To(Succeed())
	s.args = append(s.args, "-config-file="+acls, "-config-file="+s.tokens())
	s.Agent = dial(Target{
		Address: s.http(), Token: management, AgentToken: resources.Token(management, resources.RoleRecovery).Secret,
	})
}

func (s *realServer) tokens() string { return filepath.Join(s.dir, "tokens.json") }

// writeTokens writes the file with the tokens that follow from a management token.
func (s *realServer) writeTokens(t *testing.T, management string) {
	t.Helper()
	g := NewWithT(t)
	secret := resources.TokensSecret(&v1alpha1.ConsulCluster{}, resources.ManagementTokens{Present: management})
	g.Expect(os.WriteFile(s.tokens(), secret.Data["servers.json"], 0o600)).To(Succeed())
}

// The operator's token may do what the operator does, and not more. To make it once more, or after somebody changed it, is the
// same.
func TestTheOperatorsToken(t *testing.T) {
	for _, version := range []string{"1.19.2", "1.22.7"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			management := resources.NewManagementToken()
			servers := newServers(t, version, 3)
			servers.prepare = func(s *realServer) { s.authorize(t, servers.dial, management) }
			first := servers.start()
			g.Eventually(func() error { _, err := first.Self(t.Context()); return err }, 30*time.Second, 50*time.Millisecond).
				Should(Succeed(), "an agent that has never known a leader knows the token for itself")
			servers.start()
			servers.start()
			leader, own := servers.leader(), resources.Token(management, resources.RoleOperator)
			renew := func(rules string) {
				t.Helper()
				g.Eventually(func() error {
					return leader.MakeToken(t.Context(), Token{
						Accessor: own.Accessor, Secret: own.Secret, Description: "of a test",
						Policy: Policy{Name: "consul-operator", Rules: rules},
					})
				}, 30*time.Second, 100*time.Millisecond).Should(Succeed())
			}
			renew(`key "" { policy = "read" }`)
			token := servers.dial(Target{Address: leader.http(), Token: own.Secret})
			_, err := token.RaftPeers(t.Context())
			g.Expect(err).To(MatchError(ErrForbidden))
			for what, who := range map[string]Agent{
				"a token that may read no service": token, "nobody": servers.dial(Target{Address: leader.http()}),
			} { // once the leader has registered somebody
				g.Eventually(func() error { _, err := who.Catalog(t.Context()); return err }, 30*time.Second, 50*time.Millisecond).
					Should(MatchError(ErrFiltered), what)
			}
			renew(resources.TokenRules("consul", resources.RoleOperator))
			renew(resources.TokenRules("consul", resources.RoleOperator))
			for _, server := range servers.list { // each knows it by its own data
				it := servers.dial(Target{Address: server.http(), Token: own.Secret})
				g.Eventually(func() error { _, err := it.RaftPeers(t.Context()); return err }, 10*time.Second, 50*time.Millisecond).
					Should(Succeed())
			}
			client, err := api.NewClient(&api.Config{Address: leader.http(), Token: own.Secret})
			g.Expect(err).NotTo(HaveOccurred())
			_, err = client.KV().Put(&api.KVPair{Key: "x"}, nil)
			g.Expect(err).To(MatchError(ContainSubstring("Permission denied")))
			_, _, err = client.ACL().TokenList(nil)
			g.Expect(err).To(MatchError(ContainSubstring("Permission denied")))
			expectAllowed(t, servers, token)
		})
	}
}

// expectAllowed does all that the operator does with a token, the last things last.
func expectAllowed(t *testing.T, servers *realServers, token Agent) {
	t.Helper()
	g, ctx := NewWithT(t), t.Context()
	for name, call := range map[string]func() error{
		"self":      func() error { _, err := token.Self(ctx); return err },
		"health":    func() error { _, err := token.Health(ctx); return err },
		"autopilot": func() error { _, err := token.Autopilot(ctx); return err },
		"set":       func() error { return token.SetAutopilot(ctx, map[string]string{SettingMinQuorum: "3"}) },
		"reload":    func() error { return token.Reload(ctx) },
		"watch":     func() error { _, err := token.WatchServers(ctx, 0, time.Second)(); return err },
	} {
		g.Expect(call()).To(Succeed(), name)
	}
	members, err := token.Members(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(members).To(HaveLen(3), "none is filtered")
	g.Eventually(func() ([]plan.Node, error) { return token.Catalog(ctx) }, 30*time.Second, 50*time.Millisecond).
		Should(HaveLen(3), "none is filtered")
	_, err = token.Keyring(ctx)
	g.Expect(err).To(MatchError(ErrNoKey), "it may ask")

	watching, cancel := context.WithCancel(ctx)
	g.Expect(token.WatchLeader(watching)(cancel)).To(MatchError(context.Canceled), "the stream is open")

	g.Expect(token.TransferLeadership(ctx, servers.follower().id)).To(Succeed())
	servers.leader()
	g.Expect(token.ForceLeave(ctx, "nobody")).To(MatchError(ErrNotFound), "it may")
	g.Expect(token.RemovePeer(ctx, "nobody")).To(MatchError(ErrNotFound), "it may")
	// Not the former leader: Consul 1.19 may hand leadership back to it, and one that loses it while it leaves does not exit.
	leaving, target := servers.follower(), token.(*agent).target
	target.Address = leaving.http()
	g.Expect(servers.dial(target).Leave(ctx)).To(Or(Succeed(), MatchError(ErrUnanswered)))
	g.Eventually(leaving.exited, 30*time.Second).Should(BeClosed())
}

// Another management token takes the place of the one that servers were started with, and they learn what follows from it
// without a restart. The former one has no rights, and no leader that was started with it makes it again, as long as it is
// there.
func TestOtherTokens(t *testing.T) {
	for _, version := range []string{"1.19.2", "1.22.7"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			g, ctx := NewWithT(t), t.Context()
			servers := newServers(t, version, 1)
			former, present := resources.NewManagementToken(), resources.NewManagementToken()
			servers.prepare = func(s *realServer) { s.authorize(t, servers.dial, former) }
			leader := servers.start()
			servers.leader()
			as := func(management, former string) Agent {
				target := Target{Address: leader.http(), Token: management}
				target.AgentToken = resources.Token(management, resources.RoleRecovery).Secret
				if former != "" {
					target.FormerAgentToken = resources.Token(former, resources.RoleRecovery).Secret
				}
				return servers.dial(target)
			}
			manages := func(management string) func() error {
				return func() error { _, err := as(management, "").RaftPeers(ctx); return err }
			}
			next := Token{Accessor: uuid.NewString(), Secret: present, Policy: Policy{Name: resources.RoleManagement.Policy()}}
			for range 2 {
				g.Eventually(func() error { return as(former, "").MakeToken(ctx, next) }, 30*time.Second, 50*time.Millisecond).
					Should(Succeed())
			}
			g.Expect(manages(present)()).To(Succeed())
			next.Accessor = uuid.NewString()
			g.Expect(as(former, "").MakeToken(ctx, next)).To(Succeed(), "by whatever name it is there")

			self, err := as(present, former).Self(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(self.UsesFormerToken).To(BeTrue())
			leader.writeTokens(t, present)
			g.Expect(as(present, former).Reload(ctx)).To(Succeed(), "it takes the former token")
			self, err = as(present, former).Self(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(self.UsesFormerToken).To(BeFalse())

			g.Expect(as(present, "").RevokeToken(ctx, former)).To(Succeed())
			g.Expect(manages(former)()).To(MatchError(ErrForbidden))
			g.Expect(as(present, "").RevokeToken(ctx, former)).To(Succeed(), "once more")
			leader.writeTokens(t, former)
			leader.kill()
			servers.run(leader)
			g.Eventually(manages(present), 30*time.Second, 50*time.Millisecond).Should(Succeed())
			g.Consistently(manages(former), 2*time.Second, 50*time.Millisecond).
				Should(MatchError(ErrForbidden), "it leads, and was started with it")

			g.Expect(as(present, "").DeleteToken(ctx, former)).To(Succeed())
			g.Expect(as(present, "").DeleteToken(ctx, former)).To(Succeed(), "it is gone")
			g.Expect(as(former, "").DeleteToken(ctx, present)).NotTo(Succeed())
			leader.kill()
			servers.run(leader)
			g.Eventually(manages(former), 30*time.Second, 50*time.Millisecond).Should(Succeed(), "so it is deleted last")
		})
	}
}

// Without a token DNS finds nothing, unless those who have none are given that right. It goes again, and what else they
// were given stays.
func TestDNSWithoutAToken(t *testing.T) {
	for _, version := range []string{"1.19.2", "1.22.7"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			g, ctx := NewWithT(t), t.Context()
			servers, management := newServers(t, version, 1), resources.NewManagementToken()
			servers.prepare = func(s *realServer) {
				s.authorize(t, servers.dial, management)
				s.args = append(s.args, "-dns-port=8600")
			}
			leader := servers.start()
			servers.leader()
			resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "udp", leader.ip+":8600")
			}}
			find := func() ([]string, error) { return resolver.LookupHost(ctx, "consul.service.consul.") }
			lost := func() error { _, err := find(); return err }
			grant := func(rules string) func() error {
				return func() error { return leader.GrantAnonymous(ctx, Policy{Name: "consul-operator-dns", Rules: rules}) }
			}
			g.Eventually(grant(""), 30*time.Second, 50*time.Millisecond).Should(Succeed())
			g.Consistently(lost, time.Second, 50*time.Millisecond).Should(HaveOccurred(), "by default")
			for range 2 {
				g.Expect(grant(resources.RulesDNS)()).To(Succeed())
			}
			g.Eventually(find, 10*time.Second, 50*time.Millisecond).Should(Equal([]string{leader.ip}))
			g.Expect(leader.GrantAnonymous(ctx, Policy{Name: "another", Rules: `key "x" { policy = "read" }`})).To(Succeed())
			g.Expect(find()).To(Equal([]string{leader.ip}))
			g.Expect(grant("")()).To(Succeed())
			g.Eventually(lost, 10*time.Second, 50*time.Millisecond).Should(HaveOccurred())
			client, err := api.NewClient(&api.Config{Address: leader.http()})
			g.Expect(err).NotTo(HaveOccurred())
			_, _, err = client.KV().Get("x", nil)
			g.Expect(err).NotTo(HaveOccurred(), "what others have given")
		})
	}
}
