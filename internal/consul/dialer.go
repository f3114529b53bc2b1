package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-operator/consul-operator/internal/pki"
)

// DefaultTimeout is how long a call may take. A hung agent delays only its own cluster, by this much.
const DefaultTimeout = 2 * time.Second

// Dialer makes the client of an agent. Nothing is sent until the first call. Fakes replace it in tests.
type Dialer func(Target) Agent

// NewDialer returns a Dialer whose clients share pools of connections. The timeout is that of each call, from dialing to the end
// of the answer; DefaultTimeout if zero.
func NewDialer(timeout time.Duration) Dialer {
	timeout = cmp.Or(timeout, DefaultTimeout)
	plain := newTransport(timeout)
	return func(t Target) Agent {
		pool := cmp.Or(t.TLS, plain)
		return &agent{target: t, timeout: timeout, pool: pool, line: line{like: pool, within: timeout}}
	}
}

// newTransport returns a pool of connections. They are reused per address, at most two of them idle, and closed a few seconds
// after the last use: while something goes on, a pass follows sooner, and connections of a thousand idle clusters take memory.
func newTransport(timeout time.Duration) *http.Transport {
	// A host that vanished silently is noticed after half a minute. Calls end sooner by their timeout; this is for the
	// streams, which have none.
	dialer := &net.Dialer{
		Timeout: timeout,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3,
		},
	}
	return &http.Transport{ // no proxy: these are addresses of pods
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    timeout, // a call that gives up ends no handshake
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        5 * time.Second,
		ReadBufferSize:         2 << 10,
		WriteBufferSize:        1 << 10,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// agent is an Agent over HTTP.
type agent struct {
	target  Target
	timeout time.Duration
	pool    http.RoundTripper
	line    line // for requests that stay open
}

// call runs one request with the timeout of a call.
func (a *agent) call(ctx context.Context, name string, do func(*api.Client) error) error {
	_, err := a.ask(ctx, name, do)
	return err
}

// ask is call, and returns how it went besides.
func (a *agent) ask(ctx context.Context, name string, do func(*api.Client) error) (*tripper, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return a.exchange(ctx, a.pool, name, do)
}

// wait runs one request that is answered when something happens.
func (a *agent) wait(ctx context.Context, limit time.Duration, name string, do func(*api.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := a.exchange(ctx, a.line, name, do)
	return err
}

// exchange runs do with a client whose requests carry ctx, and classifies the error.
//
// Some methods of package api take no context (Leave, ForceLeave), so the transport adds it to all requests. It also adds
// the token: package api would fall back to CONSUL_HTTP_TOKEN from the operator's own environment.
func (a *agent) exchange(
	ctx context.Context, over http.RoundTripper, name string, do func(*api.Client) error,
) (*tripper, error) {
	trip := &tripper{ctx: ctx, target: a.target, next: over}
	client, err := api.NewClient(&api.Config{
		Address: a.target.Address, Scheme: a.target.scheme(),
		HttpClient: &http.Client{Transport: bounded{trip}, CheckRedirect: noRedirect},
	})
	if err == nil { // an address without a port would be taken for one with a default
		_, _, err = net.SplitHostPort(a.target.Address)
	}
	if err == nil {
		err = do(client)
	}
	if err != nil {
		err = a.failed(name, trip, withCause(ctx, err))
	}
	return trip, err
}

// failed is the error of a call, without tokens.
func (a *agent) failed(name string, trip *tripper, cause error) error {
	err := newCallError(name, a.target.Address, trip.connected.Load(), cause)
	for _, token := range []string{a.target.Token, a.target.AgentToken, a.target.FormerAgentToken} {
		err = conceal(err, token)
	}
	return err
}

// withCause adds the reason why ctx ended if err does not include it: net/http may report a closed connection first.
func withCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// noRedirect makes sure that the agent that was asked answers, and no other one.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// tripper makes a request part of a call: it adds the context and the token, and records whether there was a connection to send
// it on. Without a connection the request cannot have been applied.
type tripper struct {
	ctx       context.Context // see exchange
	target    Target
	next      http.RoundTripper
	connected atomic.Bool
	// presented identifies the certificate of the server that answered; nil without TLS.
	presented atomic.Pointer[string]
	// former is whether the agent took the former token, and not the present one.
	former atomic.Bool
}

func (t *tripper) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.send(req, t.target.tokenFor(req.URL.Path))
	if err != nil || resp.StatusCode != http.StatusForbidden || !t.mayHaveFormer(req) {
		return resp, err
	}
	_ = resp.Body.Close()
	resp, err = t.send(req, t.target.FormerAgentToken)
	t.former.Store(err == nil && resp.StatusCode != http.StatusForbidden)
	return resp, err
}

// mayHaveFormer reports whether the agent may take the former token. Calls about an agent have no body to be sent once more.
func (t *tripper) mayHaveFormer(req *http.Request) bool {
	return t.target.FormerAgentToken != "" && isAboutAgent(req.URL.Path) && req.Body == nil
}

func (t *tripper) send(req *http.Request, token string) (*http.Response, error) {
	resp, err := t.next.RoundTrip(t.own(req, token))
	if err == nil && resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		t.presented.Store(new(pki.Fingerprint(resp.TLS.PeerCertificates)))
	}
	return resp, err
}

// own is a request as a part of the call.
func (t *tripper) own(req *http.Request, token string) *http.Request {
	ctx := httptrace.WithClientTrace(t.ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { t.connected.Store(true) },
	})
	req = req.Clone(ctx)
	req.Header.Del("X-Consul-Token")
	if token != "" {
		req.Header.Set("X-Consul-Token", token)
	}
	return req
}
