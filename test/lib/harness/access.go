package harness

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

// servesHTTPS reports whether all servers do.
func servesHTTPS(c *v1alpha1.ConsulCluster) bool {
	return c.Status.TLS == v1alpha1.TLSRequired || c.Status.TLS == v1alpha1.TLSHTTPSOnly
}

// Access is how the servers are called. It does not change as long as the scene lasts.
func (s *Scene) Access(ctx context.Context) (load.Access, error) {
	if s.access != nil {
		return *s.access, nil
	}
	cluster := &v1alpha1.ConsulCluster{}
	err := s.Client.Get(ctx, s.Key, cluster)
	if client.IgnoreNotFound(err) != nil {
		return load.Access{}, err
	}
	access := load.Access{Token: &s.token}
	if cluster.Status.ACLs == v1alpha1.ACLsDeny {
		if err := s.Authenticate(ctx); err != nil {
			return load.Access{}, err
		}
	}
	if !apierrors.IsNotFound(err) && servesHTTPS(cluster) { // servers of anything else have no certificates
		if err := s.Believe(ctx); err != nil {
			return load.Access{}, err
		}
		// The name of the Service: clients go by it, and servers have it, too.
		access.TLS = verified(&s.authorities, fmt.Sprintf("%s.%s.svc", s.Key.Name, s.Key.Namespace))
	}
	s.access = &access
	return access, nil
}

// Believe has clients believe the authorities of now, as those do that read the Secret again.
func (s *Scene) Believe(ctx context.Context) error {
	secret := &corev1.Secret{}
	name := client.ObjectKey{Namespace: s.Key.Namespace, Name: resources.AuthoritiesSecretName(s.Key.Name)}
	if err := s.Client.Get(ctx, name, secret); err != nil {
		return fmt.Errorf("reading whom to believe: %w", err)
	}
	s.authorities.Store(pki.Roots(secret.Data[corev1.TLSCertKey]))
	return nil
}

// Authenticate gives the management token to the clients.
func (s *Scene) Authenticate(ctx context.Context) error {
	secret := &corev1.Secret{}
	name := client.ObjectKey{Namespace: s.Key.Namespace, Name: resources.ManagementSecretName(s.Key.Name)}
	if err := s.Client.Get(ctx, name, secret); err != nil {
		return fmt.Errorf("reading the token: %w", err)
	}
	s.token.Set(string(secret.Data["token"]))
	return nil
}

// verified believes servers of this name that have a certificate of one of the authorities, as they are then.
func verified(authorities *atomic.Pointer[x509.CertPool], name string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: name,
		InsecureSkipVerify: true, //nolint:gosec // the next line does it, by authorities that can change
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots: authorities.Load(), DNSName: name, CurrentTime: time.Now(),
			})
			return err
		},
	}
}
