package execute

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// setTLS records a phase, once the Secrets are there that its servers need. What a person has confirmed for it is used up.
func (e *Executor) setTLS(ctx context.Context, s *observe.Snapshot, a plan.SetTLS) (Outcome, error) {
	if a.Phase == s.Spec.TLS.Phase {
		return e.record(ctx, s, fmt.Sprintf("the record that TLS is %s is missing: it is written again", a.Phase),
			annotate(v1alpha1.AnnotationTLS, a.Phase.String()))
	}
	if s.HasNoTLS() {
		if err := notNeeded(e.foundAuthority(ctx, s), "set spec.tls.enabled to false"); err != nil {
			return Outcome{}, err
		}
	}
	return e.record(ctx, s, fmt.Sprintf("TLS goes from %s to %s", s.Spec.TLS.Phase, a.Phase), func(o client.Object) {
		annotate(v1alpha1.AnnotationTLS, a.Phase.String())(o)
		useUp(a.Phase.Word())(o)
	})
}

// foundAuthority gives a cluster without certificates an authority, and its servers a certificate. What is there already, after a
// crash or from before, is used if it still can be: nobody believes it now.
func (e *Executor) foundAuthority(ctx context.Context, s *observe.Snapshot) error {
	c := s.Cluster
	live := &corev1.Secret{}
	err := e.Live.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: resources.AuthoritySecretName(c.Name)}, live)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if ref := resources.AuthorityRef(c); ref != nil && len(s.UserSecrets.Authority.Certificate) == 0 {
		return unusable("certificate authority", ref.Name)
	}
	authority := resources.PairOf(live)
	certificate, err := e.newCertificate(s, authority, resources.TLSServerName(c))
	if err != nil || !lasts(s, certificate, e.Now()) || isToGo(s, live) {
		if authority, err = e.newAuthority(s); err != nil {
			return err
		}
		if certificate, err = e.newCertificate(s, authority, resources.TLSServerName(c)); err != nil {
			return err
		}
	}
	for _, secret := range []*corev1.Secret{
		resources.AuthoritySecret(c, authority), resources.AuthoritiesSecret(c, authority.Certificate),
		resources.CertificateSecret(c, certificate, authority.Certificate, e.Now()),
	} {
		if err := e.put(ctx, c, secret); err != nil {
			return err
		}
	}
	return nil
}

// isToGo reports whether an authority that nobody believes yet would be replaced as soon as they do.
func isToGo(s *observe.Snapshot, live *corev1.Secret) bool {
	theirs := s.UserSecrets.Authority.Certificate
	return resources.IsAsked(s.Cluster, live, v1alpha1.AnnotationRotateAuthority) ||
		!resources.SuitsSpec(live, s.Cluster) ||
		len(resources.NextAuthority(live).Certificate) > 0 || len(theirs) > 0 && !pki.Same(theirs, resources.PairOf(live).Certificate)
}

// newAuthority is the one that a user provides, or a new one.
func (e *Executor) newAuthority(s *observe.Snapshot) (pki.Pair, error) {
	switch ref := resources.AuthorityRef(s.Cluster); {
	case ref == nil:
		return resources.NewAuthority(s.Cluster, e.Now())
	case len(s.UserSecrets.Authority.Certificate) == 0:
		return pki.Pair{}, unusable("certificate authority", ref.Name)
	}
	return s.UserSecrets.Authority, nil
}

// leastLife is how long a certificate has to be valid: a third of what one usually is, after which it is replaced.
const leastLife = 30 * 24 * time.Hour

// lasts reports whether a certificate is of use: it ends with the authority that has issued it. Whoever brings an authority
// decides how long it lasts.
func lasts(s *observe.Snapshot, certificate pki.Pair, now time.Time) bool {
	least := leastLife
	if resources.AuthorityRef(s.Cluster) != nil {
		least = 0
	}
	_, until, err := pki.Validity(certificate.Certificate)
	return err == nil && until.Sub(now) > least
}

// put creates a Secret, or lets the one that is there hold the same.
func (e *Executor) put(ctx context.Context, c *v1alpha1.ConsulCluster, wanted *corev1.Secret) error {
	live := &corev1.Secret{}
	err := e.Live.Get(ctx, client.ObjectKeyFromObject(wanted), live)
	if apierrors.IsNotFound(err) {
		return e.Client.Create(ctx, wanted)
	}
	if err != nil {
		return err
	}
	if err := checkOwner(c, live); err != nil {
		return err
	}
	return e.patchIfNeeded(ctx, live, func(o client.Object) {
		o.SetLabels(overlay(live.Labels, wanted.Labels))
		o.SetAnnotations(overlay(live.Annotations, wanted.Annotations))
		o.(*corev1.Secret).Data = wanted.Data
	})
}

// authority reads the authority of a cluster, past the cache, which leaves keys out.
func (e *Executor) authority(ctx context.Context, c *v1alpha1.ConsulCluster) (pki.Pair, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: c.Namespace, Name: resources.AuthoritySecretName(c.Name)}
	if err := e.Live.Get(ctx, key, secret); err != nil {
		return pki.Pair{}, err
	}
	if err := checkOwner(c, secret); err != nil {
		return pki.Pair{}, err
	}
	return resources.PairOf(secret), nil
}

// newCertificate is a certificate of an authority that those who believe it alone will believe: the one that a user provides, or
// one that the operator issues.
func (e *Executor) newCertificate(s *observe.Snapshot, authority pki.Pair, name string) (certificate pki.Pair, err error) {
	if ref := s.Cluster.Spec.TLS.CertSecretRef; ref != nil {
		certificate = resources.Presented(s.UserSecrets.Certificate, authority.Certificate)
	} else if certificate, err = pki.Issue(authority, resources.CertificateNames(s.Cluster, name), e.Now()); err != nil {
		return pki.Pair{}, err
	}
	return certificate, certificate.Check(authority.Certificate, e.Now())
}

// issue returns a certificate for servers, if those who believe the authorities will believe it.
func (e *Executor) issue(s *observe.Snapshot, authority pki.Pair, present *corev1.Secret) (certificate pki.Pair, err error) {
	if len(authority.Key) == 0 {
		return e.brought(s, authority, present)
	}
	certificate, err = pki.Issue(authority, resources.CertificateNames(s.Cluster, s.TLSName), e.Now())
	if err == nil {
		err = certificate.Check(s.Authorities, e.Now())
	}
	if err != nil {
		return pki.Pair{}, fmt.Errorf("the authority in the Secret %s is not one that servers believe (%s), or has expired: restore "+
			"the one that they do, or create another cluster: %w",
			resources.AuthoritySecretName(s.Cluster.Name), resources.AuthoritiesSecretName(s.Cluster.Name), err)
	}
	return certificate, nil
}

// ensureCertificates keeps the Secret with the authorities. As long as there is one Secret from which it can be made, nothing is
// lost. The one with the key of the authority can be made if a user provides it.
func (e *Executor) ensureCertificates(ctx context.Context, s *observe.Snapshot) error {
	if s.HasNoTLS() {
		return nil
	}
	if len(s.Authorities) == 0 {
		return e.findAuthorities(ctx, s.Cluster)
	}
	if err := e.ensureAuthority(ctx, s); err != nil {
		return err
	}
	wanted, live := resources.AuthoritiesSecret(s.Cluster, s.Authorities), &corev1.Secret{}
	if err := e.ensure(ctx, s.Cluster, wanted, live, nil); err != nil {
		return err
	}
	if live.ResourceVersion == "" || bytes.Equal(resources.Authorities(live), s.Authorities) {
		return nil
	}
	return e.patch(ctx, live, func(o client.Object) { o.(*corev1.Secret).Data = wanted.Data })
}

// ensureAuthority makes the Secret of the authority again if it is lost and its key is not: a user has it. Where a user provides
// certificates there is none, and the authority is the one that has issued what servers have: another one that they believe may
// not be known to clients yet.
func (e *Executor) ensureAuthority(ctx context.Context, s *observe.Snapshot) error {
	authority := s.UserSecrets.Authority
	switch brings := s.Cluster.Spec.TLS.CertSecretRef != nil; {
	case s.AuthoritySecret != nil, !brings && !pki.Same(s.Authorities, authority.Certificate):
		return nil
	case brings && s.CertificateSecret != nil:
		authority = pki.Pair{Certificate: pki.Issuers(resources.PairOf(s.CertificateSecret).Certificate, s.Authorities)}
	case brings:
		authority = pki.Pair{Certificate: s.Authorities}
	}
	if !pki.IsAuthority(authority.Certificate) { // what servers have is of nobody whom they believe
		authority.Certificate = s.Authorities
	}
	err := e.Client.Create(ctx, resources.AuthoritySecret(s.Cluster, authority))
	if apierrors.IsAlreadyExists(err) { // it was not seen
		return e.findAuthorities(ctx, s.Cluster)
	}
	return err
}

// findAuthorities finds a Secret with a certificate of the authority that the cache does not show: it lags, or the Secret
// has lost its labels.
func (e *Executor) findAuthorities(ctx context.Context, c *v1alpha1.ConsulCluster) error {
	names := []string{
		resources.AuthoritySecretName(c.Name), resources.AuthoritiesSecretName(c.Name), resources.CertificateSecretName(c.Name),
	}
	for _, name := range names {
		live := &corev1.Secret{}
		err := e.Live.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, live)
		if apierrors.IsNotFound(err) || err == nil && !pki.IsAuthority(resources.Authorities(live)) {
			continue
		}
		if err != nil {
			return err
		}
		if !resources.Belongs(c, live) {
			return fmt.Errorf("the Secret %s has a certificate authority, and does not belong to this cluster: if it is that of this "+
				"cluster, restore it with its ownerReferences", name)
		}
		if err := e.relabel(ctx, c, live, resources.Labels(c)); err != nil {
			return err
		}
		return fmt.Errorf("%w: the Secret %s was not seen", ErrStale, name)
	}
	return fmt.Errorf("none of the Secrets %s has the certificate authority, which is lost: restore one of them from a backup",
		strings.Join(names, ", "))
}

// brought is the certificate that a user provides. Where it is not of the authority that issues, servers keep the one they have.
func (e *Executor) brought(s *observe.Snapshot, authority pki.Pair, present *corev1.Secret) (pki.Pair, error) {
	theirs := resources.Presented(s.UserSecrets.Certificate, s.Authorities)
	if s.MayPresent(theirs, authority.Certificate, e.Now()) {
		return theirs, nil
	}
	kept := resources.PresentedNext(present, s.Authorities)
	if _, err := pki.Inspect(kept.Certificate, s.Authorities); err != nil { // one that has expired is as good as they have
		return pki.Pair{}, fmt.Errorf("the Secret %s is gone, or servers do not believe what it holds, and spec.tls.certSecretRef "+
			"names no Secret with a certificate of the authority in the Secret %s: bring one, or that which servers have in %s: %w",
			resources.CertificateSecretName(s.Cluster.Name), resources.AuthoritySecretName(s.Cluster.Name), resources.PathTLS, err)
	}
	return kept, nil
}

// issueCertificate gives servers another certificate, which they read later.
func (e *Executor) issueCertificate(ctx context.Context, s *observe.Snapshot, a plan.IssueCertificate) (Outcome, error) {
	authority, err := e.authority(ctx, s.Cluster)
	if apierrors.IsNotFound(err) {
		return Outcome{}, fmt.Errorf("the Secret %s is gone, and with it the certificate authority: restore it from a backup (%s)",
			resources.AuthoritySecretName(s.Cluster.Name), a.Because)
	}
	if err != nil {
		return Outcome{}, err
	}
	live := &corev1.Secret{}
	if s.CertificateSecret != nil {
		if live, err = e.readAsSeen(ctx, s.CertificateSecret); err != nil {
			return Outcome{}, err
		}
	}
	certificate, err := e.issue(s, authority, live)
	if err != nil {
		return Outcome{}, err
	}
	if s.CertificateSecret == nil {
		wanted := resources.CertificateSecret(s.Cluster, certificate, s.Authorities, e.Now())
		return Outcome{}, e.ensure(ctx, s.Cluster, wanted, live, nil)
	}
	event := "the servers get another certificate: " + a.Because
	return Outcome{Event: event}, e.patch(ctx, live, func(o client.Object) {
		resources.SetCertificate(o.(*corev1.Secret), certificate, s.Authorities, e.Now())
	})
}

// readCertificate makes a server read its certificate, and looks whether it presents it.
func (e *Executor) readCertificate(ctx context.Context, s *observe.Snapshot, a plan.ReadCertificate) (Outcome, error) {
	self, err := e.readAgain(ctx, s, a.Server, "its certificate")
	if err != nil {
		return Outcome{}, err
	}
	if self.Certificate != s.Spec.TLS.Certificate.Fingerprint {
		return Outcome{}, notWritten(a.Server, "its certificate")
	}
	return Outcome{Event: a.Server + " presents the new certificate, without a restart"}, nil
}
