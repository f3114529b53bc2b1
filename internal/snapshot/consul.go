package snapshot

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-operator/consul-operator/api/reason"
)

// mostSilence is how long Consul or a store may send nothing, or take nothing: the leader writes all of its state to a disk
// before it answers.
var mostSilence = 5 * time.Minute

// Consul is how to reach a cluster.
type Consul struct {
	// Address is a URL such as https://consul.default.svc:8501.
	Address string
	// ServerName is the name in the certificate of the servers, which an authority in CAFile has signed. Empty without TLS.
	ServerName, CAFile string
	// TokenFile holds an ACL token with acl:write; empty without ACLs.
	TokenFile string
}

// save has the leader make a snapshot, and returns it.
func (c Consul) save(ctx context.Context) (io.ReadCloser, error) {
	ctx, watch := watched(ctx)
	client, err := c.client(ctx)
	if err == nil {
		var from io.ReadCloser
		if from, _, err = client.Snapshot().Save(nil); err == nil {
			return answer{moving{from, watch}, from}, nil
		}
	}
	watch.stop()
	return nil, said("saving a snapshot", err)
}

// restore has the leader replace its state. It checks all of it before it does.
func (c Consul) restore(ctx context.Context, from io.Reader) error {
	ctx, watch := watched(ctx)
	defer watch.stop()
	client, err := c.client(ctx)
	if err != nil {
		return err
	}
	return said("restoring a snapshot", client.Snapshot().Restore(nil, moving{from, watch}))
}

// client reads the token and the authorities once more: both may have been replaced.
func (c Consul) client(ctx context.Context) (*api.Client, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, failed(reason.ConsulRefuses, err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, failed(reason.ConsulRefuses, fmt.Errorf("%s holds no certificates", c.CAFile))
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: c.ServerName, MinVersion: tls.VersionTLS12}
	}
	token := ""
	if c.TokenFile != "" {
		text, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return nil, failed(reason.ConsulRefuses, err)
		}
		token = strings.TrimSpace(string(text))
	}
	client, err := api.NewClient(&api.Config{
		Address: c.Address, Token: token, HttpClient: &http.Client{Transport: within{ctx, transport}},
	})
	return client, failed(reason.ConsulRefuses, err)
}

// within gives all requests a context: Restore takes none.
type within struct {
	ctx  context.Context
	next http.RoundTripper
}

func (w within) RoundTrip(req *http.Request) (*http.Response, error) {
	return w.next.RoundTrip(req.WithContext(w.ctx))
}

// watch ends a request in which nothing moves any more.
type watch struct {
	timer *time.Timer
	stop  context.CancelFunc
}

func watched(ctx context.Context) (context.Context, watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(mostSilence, func() { cancel(fmt.Errorf("nothing moved for %s", mostSilence)) })
	return ctx, watch{timer, func() { timer.Stop(); cancel(nil) }}
}

// moving is a stream that is watched. It cannot be closed: a request closes its body before the answer comes.
type moving struct {
	from  io.Reader
	watch watch
}

func (m moving) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	m.watch.timer.Reset(mostSilence)
	if err != nil { // what follows takes as long as it takes: a leader that restores does not say anything meanwhile
		m.watch.timer.Stop()
	}
	return n, err
}

// answer is what Consul sends.
type answer struct {
	moving
	body io.Closer
}

func (a answer) Read(p []byte) (int, error) {
	n, err := a.moving.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = failed(reason.ConsulUnreachable, fmt.Errorf("the answer ended in the middle: %w", err))
	}
	return n, err
}

func (a answer) Close() error {
	a.watch.stop()
	return a.body.Close()
}

// said gives an error of Consul its reason. Without a leader it answers 500, as it does while it hands leadership over.
func said(doing string, err error) error {
	if err == nil {
		return nil
	}
	why := reason.ConsulUnreachable
	if status := (api.StatusError{}); errors.As(err, &status) && isRefusal(status.Code) {
		why = reason.ConsulRefuses
	}
	return failed(why, fmt.Errorf("%s: %w", doing, err))
}
