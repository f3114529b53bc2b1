package resources_test

import (
	"encoding/json"
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
	secret, err := resources.TokensSecret(plain(), management)
	g.Expect(err).NotTo(HaveOccurred())
	again, err := resources.TokensSecret(plain(), management)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again).To(Equal(secret))

	operator, recovery := resources.OperatorTokens(secret)
	servers := resources.Token(management, resources.RoleServers)
	all := map[string]bool{management: true, operator: true, recovery: true, servers.Secret: true, servers.Accessor: true}
	g.Expect(all).To(HaveLen(5), "each is another one")
	for token := range all {
		g.Expect(uuid.Validate(token)).To(Succeed(), "Consul takes UUIDs")
	}
	g.Expect(operator).To(Equal(resources.Token(management, resources.RoleOperator).Secret))
	var file struct {
		ACL struct{ Tokens map[string]string }
	}
	g.Expect(json.Unmarshal(secret.Data["servers.json"], &file)).To(Succeed())
	g.Expect(file.ACL.Tokens).To(Equal(map[string]string{
		"initial_management": management, "agent": servers.Secret, "agent_recovery": recovery,
	}))
}

func TestEitherSecretHasTheManagementToken(t *testing.T) {
	g := NewWithT(t)
	management := resources.NewManagementToken()
	tokens, err := resources.TokensSecret(plain(), management)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(resources.ManagementToken(resources.ManagementSecret(plain(), management))).To(Equal(management))
	g.Expect(resources.ManagementToken(tokens)).To(Equal(management))
	g.Expect(resources.ManagementToken(&corev1.Secret{})).To(BeEmpty())
}

// The operator keeps its own tokens in memory, and not the one that may do everything.
func TestWhatTheCacheKeepsOfTokens(t *testing.T) {
	g := NewWithT(t)
	management := resources.NewManagementToken()
	tokens, err := resources.TokensSecret(plain(), management)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(resources.Cached(resources.ManagementSecret(plain(), management))).To(BeEmpty())
	kept := resources.Cached(tokens)
	g.Expect(kept).To(And(HaveLen(2), HaveKey("operator"), HaveKey("agent-recovery")))
}

func TestTokensMade(t *testing.T) {
	g := NewWithT(t)
	tokens, err := resources.TokensSecret(plain(), resources.NewManagementToken())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(resources.TokensMade(tokens)).To(BeFalse())
	resources.SetTokensMade(tokens, time.Now())
	g.Expect(resources.TokensMade(tokens)).To(BeTrue())
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
