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

	"github.com/hashicorp/consul/api"

	"github.com/consul-operator/consul-operator/api/reason"
)

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
			return answer{moving{from, watch}, from, reason.ConsulUnreachable, "Consul"}, nil
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
