package consul

import (
	"crypto/tls"
	"net/http"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/consul-operator/consul-operator/internal/pki"
)

// Pools are the pools of verified connections to the servers of clusters, one for each. The zero value has none.
type Pools struct {
	mu    sync.Mutex
	pools map[types.NamespacedName]pool
}

type pool struct {
	authorities, name string
	transport         *http.Transport
}

// Of returns the pool for a cluster, to whose servers these authorities, in PEM, have given a certificate of this name. It is the
// same one as long as both are.
func (p *Pools) Of(cluster types.NamespacedName, authorities []byte, name string) *http.Transport {
	p.mu.Lock()
	defer p.mu.Unlock()
	has := p.pools[cluster]
	if has.transport != nil && has.authorities == string(authorities) && has.name == name {
		return has.transport
	}
	p.drop(cluster)
	if p.pools == nil {
		p.pools = map[types.NamespacedName]pool{}
	}
	transport := NewTLS(verified(authorities, name))
	p.pools[cluster] = pool{string(authorities), name, transport}
	return transport
}

// Drop forgets the pool of a cluster.
func (p *Pools) Drop(cluster types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(cluster)
}

func (p *Pools) drop(cluster types.NamespacedName) {
	if has, is := p.pools[cluster]; is {
		has.transport.CloseIdleConnections()
		delete(p.pools, cluster)
	}
}

// verified accepts the servers whose certificate has this name, whatever their address, and even if it has expired.
func verified(authorities []byte, name string) *tls.Config {
	roots := pki.Roots(authorities)
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: name,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies
		VerifyConnection: func(state tls.ConnectionState) error {
			return pki.Verify(state.PeerCertificates, roots, name)
		},
	}
}
