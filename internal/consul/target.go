package consul

import (
	"crypto/tls"
	"net/http"
)

// Target is one agent, and how to call it.
type Target struct {
	// Address is host:port of the agent's HTTP API.
	Address string
	// Credentials are those of its cluster. Nil stands for plain HTTP without a token.
	Credentials *Credentials
}

// Credentials are how the agents of one cluster are called. They do not change: a rotated token or certificate makes new
// ones, and idle connections of the old ones are closed after a minute.
type Credentials struct {
	token string
	tls   *http.Transport
}

// NewCredentials returns the credentials for calls with an ACL token, which may be empty, over TLS, or over plain HTTP if
// config is nil.
func NewCredentials(token string, config *tls.Config) *Credentials {
	c := &Credentials{token: token}
	if config != nil {
		c.tls = newTransport(DefaultTimeout)
		c.tls.TLSClientConfig = config
	}
	return c
}

// scheme of the agent's address.
func (t Target) scheme() string {
	if t.Credentials != nil && t.Credentials.tls != nil {
		return "https"
	}
	return "http"
}

// token is the ACL token that is sent as a header with each call. It is in no error.
func (t Target) token() string {
	if t.Credentials == nil {
		return ""
	}
	return t.Credentials.token
}

// transport is the pool of connections for calls to the agent: one for each cluster with TLS, and one for all others.
func (t Target) transport(plain *http.Transport) *http.Transport {
	if t.Credentials != nil && t.Credentials.tls != nil {
		return t.Credentials.tls
	}
	return plain
}
