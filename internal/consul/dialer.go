package consul

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
)

// DefaultTimeout is how long a call may take. A hung agent delays only its own cluster, by this much.
const DefaultTimeout = 2 * time.Second

// Options are the same for all agents of an operator.
type Options struct {
	// Timeout of each call, from dialing to the end of the answer; DefaultTimeout if zero.
	Timeout time.Duration
	// Token is the ACL token, sent as a header with each call. It never appears in errors.
	Token string
}

// Dialer returns a client for the agent whose HTTP API is at address, host:port. Nothing is sent until the first call. Tests
// replace it by fakes.
type Dialer func(address string) (Agent, error)

// NewDialer returns a Dialer whose clients share one connection pool. Per address at most two idle connections are kept, and
// closed a minute after the last use, so addresses of servers can come and go without notice.
func NewDialer(o Options) Dialer {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	// A host that vanished silently is noticed after half a minute. This is for streams, which have no timeout; calls time
	// out sooner.
	dialer := &net.Dialer{
		Timeout: o.Timeout,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3,
		},
	}
	transport := &http.Transport{ // no proxy: these are pod addresses
		DialContext:         dialer.DialContext,
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     time.Minute,
	}
	return func(address string) (Agent, error) {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("address of a Consul agent: %w", err)
		}
		return &agent{address: address, timeout: o.Timeout, token: o.Token, transport: transport}, nil
	}
}

// agent is an Agent over HTTP.
type agent struct {
	address   string
	timeout   time.Duration
	token     string
	transport http.RoundTripper
}

// call runs one request with the timeout of a call.
func (a *agent) call(ctx context.Context, name string, do func(*api.Client) error) error {
	return a.callWithin(ctx, a.timeout, name, do)
}

func (a *agent) callWithin(ctx context.Context, limit time.Duration, name string, do func(*api.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return a.exchange(ctx, name, do)
}

// exchange runs do with a client whose requests carry ctx, and classifies the error.
//
// Some methods of package api take no context (Self, Leave, MembersOpts), so the transport adds it to all requests. It also adds
// the token: package api would fall back to CONSUL_HTTP_TOKEN from the operator's own environment.
func (a *agent) exchange(ctx context.Context, name string, do func(*api.Client) error) error {
	trip := &tripper{ctx: ctx, token: a.token, next: a.transport}
	client, err := api.NewClient(&api.Config{
		Address: a.address, Scheme: "http", HttpClient: &http.Client{Transport: trip, CheckRedirect: noRedirect},
	})
	if err != nil {
		return fmt.Errorf("%s on %s: %w", name, a.address, err)
	}
	if err := do(client); err != nil {
		return newCallError(name, a.address, a.token, trip.connected.Load(), withCause(ctx, err))
	}
	return nil
}

// withCause adds the reason why ctx ended if err does not include it: net/http may report a closed connection first.
func withCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// noRedirect makes sure that only the agent that was called answers.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// tripper makes a request part of a call: it adds the context and the token, and records whether there was a connection to send
// it on. Without a connection the request cannot have been applied.
type tripper struct {
	ctx       context.Context // see exchange
	token     string
	next      http.RoundTripper
	connected atomic.Bool
}

func (t *tripper) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := httptrace.WithClientTrace(t.ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { t.connected.Store(true) },
	})
	req = req.Clone(ctx)
	req.Header.Del("X-Consul-Token")
	if t.token != "" {
		req.Header.Set("X-Consul-Token", t.token)
	}
	return t.next.RoundTrip(req)
}
