package timed

import (
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// tokens are those of the ACLs.
type tokens struct {
	// secret are the management tokens in the Secret, for rotatedFor. A user asks for those of asked.
	secret            resources.ManagementTokens
	asked, rotatedFor string
	// rights are the tokens that may do something in Consul.
	rights map[string]bool
}

var tokenStages = map[resources.TokenStage]plan.TokenStage{
	resources.TokensSettled: plan.TokensSettled, resources.TokensComing: plan.TokensComing, resources.TokensGoing: plan.TokensGoing,
	resources.TokensRevoked: plan.TokensRevoked,
}

// WroteTokens takes over what was written into the Secret of the ACL tokens.
func (c *Cluster) WroteTokens(secret *corev1.Secret) {
	tokens, err := resources.ManagementTokensOf(secret)
	if err != nil {
		panic(err) // no test damages it
	}
	if c.tokens.secret.Present == "" {
		c.tokens.rights = map[string]bool{tokens.Present: true} // the first leader makes it
	}
	c.tokens.secret, c.tokens.rotatedFor = tokens, secret.Annotations[v1alpha1.AnnotationRotatedFor]
	switch was, is := plan.TokenStage(c.State.Tokens), tokenStages[resources.TokenStageOf(secret)]; {
	case was == plan.TokensRevoked && is == plan.TokensGoing: // a snapshot of before was restored
		c.State.Tokens = uint8(is) //nolint:gosec // 0 to 3
	case was != is:
		c.State.SetTokenStage(is)
	}
	c.State.TokensMade, c.State.AskTokens = resources.TokensMade(secret), c.tokens.asked != c.tokens.rotatedFor
	c.knowTokens()
}

func (c *Cluster) knowTokens() {
	known := func(role resources.Role) bool {
		return c.tokens.rights[resources.Token(c.tokens.secret.Present, role).Secret]
	}
	c.State.TokensKnown = known(resources.RoleOperator) && known(resources.RoleServers)
}

// readTokens is what a process does when it starts, and when it is told to. The kubelet may be late.
func (c *Cluster) readTokens(slot int) {
	management, x := c.tokens.secret.Present, &c.State.Servers[slot]
	if x.UsesFormer = c.IsTokenLate() && x.PodRevision.ACLs() != plan.ACLsOff; x.UsesFormer {
		management = c.tokens.secret.Former[0]
	}
	c.Servers[slot].recovery = resources.Token(management, resources.RoleRecovery).Secret
}

// IsTokenLate reports whether kubelets show the Secret of the tokens as it was before.
func (c *Cluster) IsTokenLate() bool {
	return plan.TokenStage(c.State.Tokens) == plan.TokensGoing && !c.State.TokensShown
}

// MakeToken makes a token, if the leader has ACLs.
func (c *Cluster) MakeToken(t consul.Token) error {
	if c.State.Servers[c.State.Leader].PodRevision.ACLs() == plan.ACLsOff {
		return errors.New("ACL support disabled")
	}
	if !c.isOurs(t.Secret) {
		return errors.New("this token is not in the Secret")
	}
	c.tokens.rights[t.Secret] = true
	c.knowTokens()
	return nil
}

func (c *Cluster) isOurs(token string) bool {
	for _, management := range []string{c.tokens.secret.Present, c.tokens.secret.Next} {
		switch token {
		case management, resources.Token(management, resources.RoleOperator).Secret,
			resources.Token(management, resources.RoleMetrics).Secret,
			resources.Token(management, resources.RoleServers).Secret:
			return true
		}
	}
	return false
}

// IsFormerManagement reports whether a token is a management token that another one has taken the place of.
func (c *Cluster) IsFormerManagement(token string) bool {
	return slices.Contains(c.tokens.secret.Former, token)
}

// LoseToken takes the rights of a token.
func (c *Cluster) LoseToken(token string) {
	delete(c.tokens.rights, token)
	c.knowTokens()
}

// LoseTokens is what a snapshot does that was saved before there were any. The next leader makes the management token.
func (c *Cluster) LoseTokens() {
	c.tokens.rights = map[string]bool{c.tokens.secret.Present: true}
	c.knowTokens()
}

// RefusesAboutItself reports whether the agent in a slot refuses a token with which it is asked about itself.
func (c *Cluster) RefusesAboutItself(slot int, token string) bool {
	return c.refuses(slot, token, token == c.Servers[slot].recovery)
}

// Refuses reports whether the server in a slot refuses a token with which it is asked about the cluster.
func (c *Cluster) Refuses(slot int, token string) bool {
	return c.refuses(slot, token, c.tokens.rights[token])
}

// refuses says that nobody takes a token that is not known. Who has none may do all that a default policy allows.
func (c *Cluster) refuses(slot int, token string, known bool) bool {
	switch phase := c.State.Servers[slot].PodRevision.ACLs(); {
	case phase == plan.ACLsOff:
		return false
	case token == "":
		return phase == plan.ACLsDeny
	}
	return !known
}
