package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// takeSecret takes over what the operator has written into a Secret that servers read.
func (c *cluster) takeSecret(o *corev1.Secret) {
	switch o.Name {
	case resources.TokensSecretName(c.object.Name):
		c.change(func(*sim.State) { c.WroteTokens(o) })
	case resources.CertificateSecretName(c.object.Name):
		if pair, err := tls.X509KeyPair(o.Data[corev1.TLSCertKey], o.Data[corev1.TLSPrivateKeyKey]); err == nil {
			c.pair = &pair
		}
		c.change(func(*sim.State) { c.WroteCertificate(o, time.Now()) })
	}
}

// certificate is that of all servers of the cluster.
func (c *cluster) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pair == nil {
		return nil, errors.New("the operator has not written a certificate yet")
	}
	return c.pair, nil
}

// isRefused reports whether the ACLs of the server refuse a request.
func (a *agent) isRefused(r *http.Request) bool {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	slot, token := a.c.Named(a.name), r.Header.Get("X-Consul-Token")
	switch {
	case slot < 0:
		return false // nobody answers any more
	case strings.HasPrefix(r.URL.Path, "/v1/agent/") && !strings.HasPrefix(r.URL.Path, pathForceLeave):
		return a.c.RefusesAboutItself(slot, token)
	}
	return a.c.Refuses(slot, token)
}

// makePolicy forgets it: all tokens are the operator's, and none is refused what it is used for.
func (a *agent) makePolicy(_ int, r *http.Request) (any, error) {
	var policy api.ACLPolicy
	if err := json.NewDecoder(r.Body).Decode(&policy); err != nil {
		return nil, refusal{http.StatusBadRequest, err.Error()}
	}
	return &policy, nil
}

func (a *agent) makeToken(_ int, r *http.Request) (any, error) {
	var token api.ACLToken
	err := json.NewDecoder(r.Body).Decode(&token)
	if err == nil {
		a.c.change(func(*sim.State) {
			err = a.c.MakeToken(consul.Token{Accessor: token.AccessorID, Secret: token.SecretID})
		})
	}
	if err != nil {
		return nil, refusal{http.StatusBadRequest, err.Error()}
	}
	return &token, nil
}
