package observe

import (
	"context"
	"fmt"
	"time"

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
	name := s.Cluster.Name
	authorities, err := o.ownSecret(ctx, s, resources.AuthoritiesSecretName(name))
	if err != nil {
		return err
	}
	if s.CertificateSecret, err = o.ownSecret(ctx, s, resources.CertificateSecretName(name)); err != nil {
		return err
	}
	if s.AuthoritySecret, err = o.ownSecret(ctx, s, resources.AuthoritySecretName(name)); err != nil {
		return err
	}
	s.trust(authorities)
	s.trust(s.CertificateSecret) // the same once more, or as it was when servers got it
	s.trust(s.AuthoritySecret)   // at least one of them
	s.TLSName = resources.TLSServerName(s.Cluster)
	s.Spec.TLS.Certificate = o.certificate(s)
	s.Spec.TLS.Authority = authority(s, authorities)
	s.Access = consul.Target{
		Scheme: "https", TLS: o.Pools.Of(client.ObjectKeyFromObject(s.Cluster), s.Authorities, s.TLSName),
	}
	return nil
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
	s.TLSName = resources.ProvenName(s.Cluster, facts)
	certificate := plan.Certificate{
		Fingerprint: facts.Fingerprint, From: facts.From, Until: facts.Until, Misnamed: !resources.IsNamed(s.Cluster, facts),
		Unbelieving: !pki.Same(resources.Authorities(s.CertificateSecret), s.Authorities),
		ShownAt:     resources.KeysChanged(s.CertificateSecret).Add(o.SecretDelay),
	}
	certificate.Brought = s.bringsCertificates()
	if issues := s.issuer(); issues != nil {
		_, err = pki.Inspect(resources.PairOf(s.CertificateSecret).Certificate, issues)
		certificate.Former = err != nil
		certificate.Superseded = certificate.Brought && s.hasAnother(facts, issues, o.Now())
	}
	return certificate
}

// bringsCertificates reports whether the operator issues none: a user provides them.
func (s *Snapshot) bringsCertificates() bool {
	if s.AuthoritySecret == nil {
		return s.Cluster.Spec.TLS.CertSecretRef != nil
	}
	return resources.IssuesNothing(s.AuthoritySecret)
}

// hasAnother reports whether a user provides another certificate than the present one, which servers can be given now.
func (s *Snapshot) hasAnother(present pki.Facts, issues []byte, now time.Time) bool {
	theirs := resources.Presented(s.UserSecrets.Certificate, s.Authorities)
	facts, err := pki.Inspect(theirs.Certificate, s.Authorities)
	return err == nil && s.MayPresent(theirs, issues, now) && facts.Fingerprint != present.Fingerprint
}

// MayPresent reports whether servers can be given a certificate: of the authority that issues, and of one that they believe.
func (s *Snapshot) MayPresent(certificate pki.Pair, issues []byte, now time.Time) bool {
	return certificate.Check(issues, now) == nil && certificate.Check(s.Authorities, now) == nil
}

// issuer is the certificate of the authority that issues; nil if there is none that servers believe.
func (s *Snapshot) issuer() []byte {
	if s.AuthoritySecret == nil {
		return nil
	}
	issues := resources.PairOf(s.AuthoritySecret).Certificate
	if !pki.Believes(s.Authorities, issues) {
		return nil
	}
	return issues
}

// authority is who issues certificates, and how far its rotation is. Clients are told by the Secret with the authorities.
func authority(s *Snapshot, told *corev1.Secret) plan.Authority {
	issues := s.issuer()
	from, until, err := pki.AuthorityValidity(issues)
	if err != nil {
		replacement := plan.Replacement{Asked: s.Cluster.Annotations[v1alpha1.AnnotationRotateAuthority] != ""}
		if ref := resources.AuthorityRef(s.Cluster); ref != nil {
			replacement.FromSecret = ref.Name
		}
		return plan.Authority{Replacement: replacement}
	}
	next := resources.NextAuthority(s.AuthoritySecret).Certificate
	seen := plan.Authority{
		Stage: plan.AuthoritySettled, From: from, Until: until, Replacement: otherAuthority(s),
	}
	switch {
	case pki.IsAuthority(next):
		seen.Stage = plan.AuthorityComing
		if told != nil && pki.Believes(resources.Authorities(told), next) {
			seen.Introduced, seen.KnownAt = true, resources.KeysChanged(told).Add(caGracePeriod(s.Cluster))
		}
	case !pki.Same(s.Authorities, issues):
		seen.Stage = plan.AuthorityGoing
	}
	return seen
}

// otherAuthority are the reasons for another authority than the newest one.
func otherAuthority(s *Snapshot) plan.Replacement {
	reasons := plan.Replacement{Asked: resources.IsAsked(s.Cluster, s.AuthoritySecret, v1alpha1.AnnotationRotateAuthority)}
	suits := resources.SuitsSpec(s.AuthoritySecret, s.Cluster)
	if ref := resources.AuthorityRef(s.Cluster); ref != nil {
		theirs := s.UserSecrets.Authority.Certificate
		reasons.FromSecret = ref.Name
		reasons.Differs = len(theirs) > 0 && (!suits || !pki.Same(theirs, resources.NewestAuthority(s.AuthoritySecret)))
	} else {
		reasons.Withdrawn = !suits
	}
	return reasons
}

func caGracePeriod(c *v1alpha1.ConsulCluster) time.Duration {
	if c.Spec.TLS.CAGracePeriod == nil {
		return v1alpha1.DefaultCAGracePeriod
	}
	return c.Spec.TLS.CAGracePeriod.Duration
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
