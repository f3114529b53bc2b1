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

// tokenFor is the token for a call. A force-leave concerns other agents than the one that is asked.
func (t Target) tokenFor(path string) string {
	if t.AgentToken != "" && strings.HasPrefix(path, "/v1/agent/") && !strings.HasPrefix(path, "/v1/agent/force-leave/") {
		return t.AgentToken
	}
	return t.Token
}

func (t Target) scheme() string { return cmp.Or(t.Scheme, "http") }
