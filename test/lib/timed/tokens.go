package timed

import (
	"errors"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// tokens are those of the ACLs.
type tokens struct {
	// operator, servers and recovery are in the Secret; management may do everything.
	management, operator, servers, recovery string
	// made are those that Consul has.
	made map[string]bool
}

// WroteTokens takes over what was written into the Secret of the ACL tokens.
func (c *Cluster) WroteTokens(secret *corev1.Secret) {
	c.tokens.management = resources.ManagementToken(secret)
	c.tokens.operator, c.tokens.recovery = resources.OperatorTokens(secret)
	c.tokens.servers = resources.Token(c.tokens.management, resources.RoleServers).Secret
	c.State.TokensMade = resources.TokensMade(secret)
}

// MakeToken makes a token, if the leader has ACLs.
func (c *Cluster) MakeToken(t consul.Token) error {
	if c.State.Servers[c.State.Leader].PodRevision.ACLs() == plan.ACLsOff {
		return errors.New("ACL support disabled")
	}
	if t.Secret != c.tokens.operator && t.Secret != c.tokens.servers {
		return errors.New("this token is not in the Secret")
	}
	if c.tokens.made == nil {
		c.tokens.made = map[string]bool{}
	}
	c.tokens.made[t.Secret] = true
	c.State.TokensKnown = c.tokens.made[c.tokens.operator] && c.tokens.made[c.tokens.servers]
	return nil
}

// LoseTokens is what a snapshot does that was saved before there were any.
func (c *Cluster) LoseTokens() { c.tokens.made, c.State.TokensKnown = nil, false }

// RefusesAboutItself reports whether the agent in a slot refuses a token with which it is asked about itself.
func (c *Cluster) RefusesAboutItself(slot int, token string) bool {
	return c.refuses(slot, token, token == c.tokens.recovery)
}

// Refuses reports whether the server in a slot refuses a token with which it is asked about the cluster.
func (c *Cluster) Refuses(slot int, token string) bool {
	return c.refuses(slot, token, token == c.tokens.management || c.tokens.made[token])
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
