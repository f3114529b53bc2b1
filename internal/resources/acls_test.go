package resources_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// inACLPhase is a cluster in a phase of ACLs.
func inACLPhase(phase v1alpha1.ACLPhase) *v1alpha1.ConsulCluster {
	c := plain()
	c.Annotations = map[string]string{v1alpha1.AnnotationACLs: string(phase), v1alpha1.AnnotationRecordsOf: string(c.UID)}
	return c
}

func TestRenderedWithACLs(t *testing.T) {
	golden(t, "acls.yaml", rendered(t, inACLPhase(v1alpha1.ACLsDeny)))
}

func TestACLsInThePhases(t *testing.T) {
	for phase, wanted := range map[v1alpha1.ACLPhase]string{
		"": "", v1alpha1.ACLsOff: "", v1alpha1.ACLsAllow: "allow", v1alpha1.ACLsDeny: "deny",
	} {
		t.Run(string(phase), func(t *testing.T) {
			g := NewWithT(t)
			c := inACLPhase(phase)
			c.Spec.Config = config(t, map[string]any{"acl": map[string]any{"down_policy": "extend-cache"}})
			rendered, err := resources.AgentConfig(c)
			g.Expect(err).NotTo(HaveOccurred())
			var says struct {
				ACL struct {
					Enabled bool
					Policy  string `json:"default_policy"`
					Down    string `json:"down_policy"`
				}
			}
			g.Expect(json.Unmarshal(rendered, &says)).To(Succeed())
			g.Expect(says.ACL.Enabled).To(Equal(wanted != ""))
			g.Expect(says.ACL.Policy).To(Equal(wanted))
			g.Expect(says.ACL.Down).To(Equal("extend-cache"), "what the user sets stays")
		})
	}
}

// All tokens follow from one, and none of them leads back to it.
func TestTokensFollowFromOne(t *testing.T) {
	g := NewWithT(t)
	management := resources.NewManagementToken()
	g.Expect(resources.NewManagementToken()).NotTo(Equal(management))
	secret := resources.TokensSecret(plain(), resources.ManagementTokens{Present: management})
	again := resources.TokensSecret(plain(), resources.ManagementTokens{Present: management})
	g.Expect(again).To(Equal(secret))

	own := resources.OperatorTokensOf(secret)
	servers := resources.Token(management, resources.RoleServers)
	all := map[string]bool{management: true, own.Operator: true, own.Recovery: true, servers.Secret: true, servers.Accessor: true}
	g.Expect(all).To(HaveLen(5), "each is another one")
	for token := range all {
		g.Expect(uuid.Validate(token)).To(Succeed(), "Consul takes UUIDs")
	}
	g.Expect(own.Operator).To(Equal(resources.Token(management, resources.RoleOperator).Secret))
	var file struct {
		ACL struct{ Tokens map[string]string }
	}
	g.Expect(json.Unmarshal(secret.Data["servers.json"], &file)).To(Succeed())
	g.Expect(file.ACL.Tokens).To(Equal(map[string]string{
		"initial_management": management, "agent": servers.Secret, "agent_recovery": own.Recovery,
	}))
}

func TestEitherSecretHasTheManagementToken(t *testing.T) {
	g := NewWithT(t)
	management := resources.NewManagementToken()
	tokens := resources.TokensSecret(plain(), resources.ManagementTokens{Present: management})
	only := resources.ManagementTokens{Present: management}
	for _, secret := range []*corev1.Secret{resources.ManagementSecret(plain(), only), tokens} {
		g.Expect(resources.ManagementTokensOf(secret)).To(Equal(only))
	}
	g.Expect(resources.HaveSameTokens(resources.ManagementSecret(plain(), only), tokens)).To(BeTrue())
	for _, others := range []resources.ManagementTokens{
		{Present: "another"}, {Present: management, Next: "another"}, {Present: management, Former: []string{"another"}},
	} {
		g.Expect(resources.HaveSameTokens(resources.ManagementSecret(plain(), others), tokens)).To(BeFalse())
		g.Expect(resources.ManagementTokensOf(resources.ManagementSecret(plain(), others))).To(Equal(others))
	}
	g.Expect(resources.HaveSameTokens(&corev1.Secret{}, &corev1.Secret{})).To(BeFalse(), "of a former operator")
	g.Expect(resources.ManagementTokensOf(&corev1.Secret{})).To(Equal(resources.ManagementTokens{}))
	_, err := resources.ManagementTokensOf(&corev1.Secret{Data: map[string][]byte{"former-tokens": []byte("x")}})
	g.Expect(err).To(MatchError("former-tokens is not a list of tokens"))
}

// A Secret goes through the stages of a rotation, and the cache, which has none of its management tokens, shows in which it is.
func TestStagesOfTheRotationOfTokens(t *testing.T) {
	g := NewWithT(t)
	secret := resources.TokensSecret(plain(), resources.ManagementTokens{Present: "first"})
	recovery := func(management string) string {
		secret := resources.TokensSecret(plain(), resources.ManagementTokens{Present: management})
		return resources.OperatorTokensOf(secret).Recovery
	}
	holds := func(stage resources.TokenStage, tokens resources.ManagementTokens, former string) {
		t.Helper()
		g.Expect(resources.ManagementTokensOf(secret)).To(Equal(tokens))
		cached := secret.DeepCopy()
		cached.Data = resources.Cached(secret)
		for _, value := range cached.Data {
			g.Expect(string(value)).NotTo(Or(ContainSubstring("first"), ContainSubstring("second"), ContainSubstring("third")))
		}
		g.Expect(resources.TokenStageOf(cached)).To(Equal(stage))
		g.Expect(resources.OperatorTokensOf(cached)).To(Equal(resources.OperatorTokens{
			Operator: resources.Token(tokens.Present, resources.RoleOperator).Secret, Recovery: recovery(tokens.Present),
			Metrics:        resources.Token(tokens.Present, resources.RoleMetrics).Secret,
			FormerRecovery: former,
		}))
	}
	change := func(tokens resources.ManagementTokens) { resources.SetTokens(secret, tokens) }

	tokens := resources.ManagementTokens{Present: "first"}
	holds(resources.TokensSettled, tokens, "")
	tokens.Next = "second"
	change(tokens)
	holds(resources.TokensComing, tokens, "")
	tokens = tokens.Promoted()
	change(tokens)
	holds(resources.TokensGoing, resources.ManagementTokens{Present: "second", Former: []string{"first"}}, recovery("first"))
	resources.SetTokensRevoked(secret, 3)
	g.Expect(resources.TokensRevokedIn(secret)).To(Equal(uint64(3)))
	holds(resources.TokensRevoked, tokens, recovery("first"))
	tokens.Next = "third" // before servers were replaced that the first one was given
	change(tokens)
	holds(resources.TokensComing, tokens, recovery("first"))
	tokens = tokens.Promoted()
	change(tokens)
	resources.SetTokensMade(secret, time.Now())
	g.Expect(tokens).To(Equal(resources.ManagementTokens{Present: "third", Former: []string{"second", "first"}}))
	holds(resources.TokensGoing, tokens, recovery("second"))
	change(resources.ManagementTokens{Present: "third"})
	holds(resources.TokensSettled, resources.ManagementTokens{Present: "third"}, "")
	g.Expect(tokens.All()).To(Equal([]string{"third", "second", "first"}))
	g.Expect(fmt.Sprintf("%v %+v %#v", tokens, tokens, tokens)).NotTo(ContainSubstring("third"))
}

// What was written last counts, whichever Secret it is in. An old backup is not believed.
func TestTheNewestTokens(t *testing.T) {
	none, a, b := resources.ManagementTokens{}, resources.ManagementTokens{Present: "A"}, resources.ManagementTokens{Present: "B"}
	coming := resources.ManagementTokens{Present: "A", Next: "B"}
	going := resources.ManagementTokens{Present: "B", Former: []string{"A"}}
	for name, test := range map[string]struct{ servers, other, newest resources.ManagementTokens }{
		"the same":                                {a, a, a},
		"the other one is lost":                   {going, none, going},
		"that of the servers is lost":             {none, going, going},
		"both are lost":                           {none, none, none},
		"a rotation has begun":                    {coming, a, coming},
		"the next one is used":                    {going, coming, going},
		"the other one was not told":              {going, a, going},
		"the rotation is over":                    {b, going, b},
		"an old backup of the servers'":           {a, going, going},
		"an old backup of the servers', too":      {coming, going, going},
		"an old backup of the other one":          {going, a, going},
		"neither knows of the other: not guessed": {a, b, none},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			newest, err := resources.Newest(test.servers, test.other)
			g.Expect(newest).To(Equal(test.newest))
			g.Expect(err != nil).To(Equal(test.newest.Present == "" && test.servers.Present != ""))
		})
	}
}

// The operator keeps its own tokens in memory, and not the one that may do everything.
func TestWhatTheCacheKeepsOfTokens(t *testing.T) {
	g := NewWithT(t)
	management := resources.NewManagementToken()
	tokens := resources.TokensSecret(plain(), resources.ManagementTokens{Present: management})
	nothing := resources.Cached(&corev1.Secret{})
	ofManagement := resources.Cached(resources.ManagementSecret(plain(), resources.ManagementTokens{Present: management}))
	g.Expect(ofManagement).To(HaveLen(len(nothing)))
	kept := resources.Cached(tokens)
	g.Expect(kept).To(And(HaveLen(3+len(nothing)), HaveKey("operator"), HaveKey("agent-recovery"), HaveKey("metrics")))
}

func TestTokensMade(t *testing.T) {
	g := NewWithT(t)
	tokens := resources.TokensSecret(plain(), resources.ManagementTokens{Present: resources.NewManagementToken()})
	g.Expect(resources.TokensMade(tokens)).To(BeFalse())
	resources.SetTokensMade(tokens, time.Now())
	g.Expect(resources.TokensMade(tokens)).To(BeTrue())
}

// A token that a user provides takes the place of the present one.
func TestTokensOfAUser(t *testing.T) {
	g := NewWithT(t)
	own := resources.ManagementTokens{Present: "f0f0f0f0-0000-4000-8000-000000000000"}
	secret := resources.TokensSecret(plain(), resources.ManagementTokens{Present: "another"})
	g.Expect(resources.AreTokensOf(secret, own)).To(BeFalse())
	resources.SetTokens(secret, own)
	g.Expect(resources.AreTokensOf(secret, own)).To(BeTrue())
	secret.Data = resources.Cached(secret)
	g.Expect(resources.AreTokensOf(secret, own)).To(BeTrue(), "also from the cache")

	back := resources.ManagementTokens{Present: "2", Next: "1", Former: []string{"1"}}.Promoted()
	g.Expect(back).To(Equal(resources.ManagementTokens{Present: "1", Former: []string{"2"}}), "to a former one")
}

func TestConfigurationOfACLs(t *testing.T) {
	asks := func(c *v1alpha1.ConsulCluster) { c.Spec.ACLs.Enabled = new(true) }
	has := func(c *v1alpha1.ConsulCluster) { *c = *inACLPhase(v1alpha1.ACLsDeny) }
	tokens := map[string]any{"acl": map[string]any{"tokens": map[string]any{"agent": "x"}}}
	scripts := map[string]any{"enable_script_checks": true}
	for name, test := range map[string]struct {
		change func(c *v1alpha1.ConsulCluster)
		config map[string]any
		says   string
	}{
		"ACLs of one's own": {func(*v1alpha1.ConsulCluster) {}, map[string]any{"acl": map[string]any{"enabled": true}}, ""},
		"said twice":        {has, map[string]any{"ACL": map[string]any{"Enabled": true}}, "spec.config.ACL.Enabled: remove it"},
		"asked for beside them": {
			asks, map[string]any{"acl": map[string]any{"enabled": true}}, "spec.acls.enabled: remove it, since spec.config.acl.enabled",
		},
		"tokens":                  {has, tokens, "spec.config.acl.tokens"},
		"another datacenter's":    {has, map[string]any{"primary_datacenter": "dc2"}, "spec.config.primary_datacenter"},
		"connected datacenters":   {has, map[string]any{"ports": map[string]any{"serf_wan": 8302}}, "spec.config.ports.serf_wan"},
		"other settings":          {has, map[string]any{"acl": map[string]any{"token_ttl": "30s"}}, ""},
		"scripts where all may":   {func(*v1alpha1.ConsulCluster) {}, scripts, "enable_script_checks"},
		"scripts where none may":  {has, scripts, ""},
		"scripts where ACLs come": {asks, scripts, "enable_script_checks"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := plain()
			test.change(c)
			c.Spec.Config = config(t, test.config)
			err := resources.CheckConfig(c)
			if test.says == "" {
				g.Expect(err).NotTo(HaveOccurred())
			} else {
				g.Expect(err).To(MatchError(ContainSubstring(test.says)))
			}
		})
	}
}
