package load

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-operator/consul-operator/internal/resources"
)

// Access is how clients call servers. The zero value is for those without certificates.
type Access struct {
	// TLS says whom to believe, and by which name; nil for HTTP.
	TLS *tls.Config
	// Token is the ACL token of the clients; nil for none.
	Token *Token
	// Port of the API; by default that of the scheme.
	Port int
}

// Token is an ACL token that clients can be given while they run. The zero value is none.
type Token struct{ text atomic.Pointer[string] }

// Set gives it to the clients.
func (t *Token) Set(text string) { t.text.Store(&text) }

// Get is the token by now; empty for none.
func (t *Token) Get() string {
	if text := t.text.Load(); text != nil {
		return *text
	}
	return ""
}

// Authenticated sends the token along with each request.
func (a Access) Authenticated(next http.RoundTripper) http.RoundTripper {
	if a.Token == nil {
		return next
	}
	return bearer{a.Token, next}
}

type bearer struct {
	token *Token
	next  http.RoundTripper
}

func (b bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	if token := b.token.Get(); token != "" {
		request = request.Clone(request.Context())
		request.Header.Set("X-Consul-Token", token)
	}
	return b.next.RoundTrip(request)
}

// Scheme is that of the servers' addresses, and the name of their port.
func (a Access) Scheme() string {
	if a.TLS != nil {
		return "https"
	}
	return "http"
}

// At is the address of the API of a server with this IP address.
func (a Access) At(ip string) string {
	port := resources.PortHTTP
	if a.TLS != nil {
		port = resources.PortHTTPS
	}
	return net.JoinHostPort(ip, strconv.Itoa(cmp.Or(a.Port, port)))
}

// Transport connects anew to where pick says, for each connection.
func (a Access) Transport(pick func() (address string, err error)) *http.Transport {
	return &http.Transport{
		TLSClientConfig: a.TLS.Clone(),
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			address, err := pick()
			if err != nil {
				return nil, err
			}
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, address)
		},
	}
}

// Agent is a client of the server at an address, with a connection for each call.
func (a Access) Agent(address string, timeout time.Duration) (*api.Client, error) {
	transport := a.Transport(func() (string, error) { return address, nil })
	transport.DisableKeepAlives = true
	return api.NewClient(&api.Config{
		Address: address, Scheme: a.Scheme(), HttpClient: &http.Client{Transport: a.Authenticated(transport), Timeout: timeout},
	})
}
