package consul

import (
	"cmp"
	"crypto/tls"
	"net/http"
	"strings"
)

// Target is one agent, and how to call it. Each cluster has an access of its own: all but the address is the same for its
// servers, but for a moment in which it is switched from one server to the next.
type Target struct {
	// Scheme is https or http; http if empty.
	Scheme string
	// Address is host:port of the agent's HTTP API.
	Address string
	// Token is the ACL token that is sent as a header with calls about the cluster, and AgentToken the one with calls about the
	// agent itself, which it has to resolve without a leader. Empty for none. They are in no error.
	Token, AgentToken string
	// FormerAgentToken is what an agent knows that has not read AgentToken yet: a call about itself that it refuses is sent once
	// more, with this one. Empty for none.
	FormerAgentToken string
	// TLS is the pool of connections of the cluster for https, see NewTLS.
	TLS *http.Transport
}

// NewTLS returns a pool of connections that are verified, and authenticated, by a configuration. A rotated certificate takes
// a new one; idle connections of the old one are closed after a few seconds.
func NewTLS(config *tls.Config) *http.Transport {
	transport := newTransport(DefaultTimeout)
	transport.TLSClientConfig = config
	return transport
}

// tokenFor is the token for a call.
func (t Target) tokenFor(path string) string {
	if t.AgentToken != "" && isAboutAgent(path) {
		return t.AgentToken
	}
	return t.Token
}

// isAboutAgent reports whether a call is about the agent that is asked. A force-leave concerns others.
func isAboutAgent(path string) bool {
	return strings.HasPrefix(path, "/v1/agent/") && !strings.HasPrefix(path, "/v1/agent/force-leave/")
}

func (t Target) scheme() string { return cmp.Or(t.Scheme, "http") }
