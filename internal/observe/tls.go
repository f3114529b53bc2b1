package observe

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// tlsOf is the phase of TLS that a cluster has, and the one that it is to have in the end: where the spec says nothing, the same.
// See secureNewCluster.
func tlsOf(c *v1alpha1.ConsulCluster) plan.TLS {
	phase, _ := plan.ParseTLSPhase(string(resources.TLSPhase(c))) // the error is found again, see readRecords
	tls := plan.TLS{Phase: phase, Target: phase, Unrecorded: resources.TLSRecordLost(c)}
	enabled, only := c.Spec.TLS.Enabled, c.Spec.TLS.HTTPSOnly
	if enabled != nil {
		tls.Target = plan.TLSOff
		if *enabled {
			tls.Target = max(phase, plan.TLSRequired)
		}
	}
	if tls.Target >= plan.TLSRequired && only != nil {
		tls.Target = plan.TLSRequired
		if *only {
			tls.Target = plan.TLSOnly
		}
	}
	return tls
}

// certificates reads what servers present, and what the operator believes of it. All of it is public, so the cache has it.
func (o *Observer) certificates(ctx context.Context, s *Snapshot) error {
	if s.HasNoTLS() {
		return nil
	}
	var err error
	if s.CertificateSecret, err = o.ownSecret(ctx, s, resources.CertificateSecretName(s.Cluster.Name)); err != nil {
		return err
	}
	for _, name := range []string{
		resources.AuthoritiesSecretName(s.Cluster.Name), resources.AuthoritySecretName(s.Cluster.Name),
	} {
		secret, err := o.ownSecret(ctx, s, name)
		if err != nil {
			return err
		}
		s.trust(secret)
	}
	s.trust(s.CertificateSecret) // the same once more, in case that the others are gone
	s.TLSName = resources.TLSServerName(s.Cluster)
	s.Spec.TLS.Certificate = o.certificate(s)
	s.Access = consul.Target{
		Scheme: "https", TLS: o.Pools.Of(client.ObjectKeyFromObject(s.Cluster), s.Authorities, s.TLSName),
	}
	return nil
}

// HasNoTLS reports whether servers have no certificates, and get none.
func (s *Snapshot) HasNoTLS() bool {
	if s.Spec.TLS.Phase != plan.TLSOff {
		return false
	}
	for _, pod := range s.Pods {
		if resources.PodHasTLS(pod) {
			return false
		}
	}
	return true
}

// trust takes over the authorities of the first Secret that has any.
func (s *Snapshot) trust(secret *corev1.Secret) {
	if secret != nil && len(s.Authorities) == 0 && pki.IsAuthority(resources.Authorities(secret)) {
		s.Authorities = resources.Authorities(secret)
	}
}

// ownSecret is a Secret of the cluster as the cache has it; nil if there is none.
func (o *Observer) ownSecret(ctx context.Context, s *Snapshot, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := o.Reader.Get(ctx, client.ObjectKey{Namespace: s.Cluster.Namespace, Name: name}, secret)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading the Secret %s: %w", name, err)
	}
	if err != nil || !resources.Belongs(s.Cluster, secret) {
		return nil, nil //nolint:nilnil // there is none
	}
	return secret, nil
}

// certificate is what servers are to present. Its name is the one by which they know each other, whatever the spec says by now.
func (o *Observer) certificate(s *Snapshot) plan.Certificate {
	if s.CertificateSecret == nil {
		return plan.Certificate{}
	}
	facts, err := pki.Inspect(resources.PairOf(s.CertificateSecret).Certificate, s.Authorities)
	if err != nil {
		return plan.Certificate{}
	}
	s.TLSName = facts.Subject
	return plan.Certificate{
		Fingerprint: facts.Fingerprint, From: facts.From, Until: facts.Until, Misnamed: !resources.IsNamed(s.Cluster, facts),
		ShownAt: resources.KeysChanged(s.CertificateSecret).Add(o.SecretDelay),
	}
}

// checkTLS refuses what cannot change on a cluster whose servers have certificates.
func checkTLS(s *Snapshot) *plan.Problem {
	if s.isNew() || s.Spec.TLS.Phase == plan.TLSOff || s.TLSName == resources.TLSServerName(s.Cluster) {
		return nil
	}
	return &plan.Problem{Reason: reason.InvalidSpec, Message: fmt.Sprintf("spec.config.domain: servers know each other by "+
		"certificates for %s, and would not take RPC from %s: set it back, or create another cluster",
		s.TLSName, resources.TLSServerName(s.Cluster))}
}
