package observe_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// certify gives the servers certificates, and returns the Secrets of them.
func (w *world) certify() (authority, authorities, certificate *corev1.Secret) {
	w.t.Helper()
	w.cluster.Annotations[v1alpha1.AnnotationTLS] = string(v1alpha1.TLSRequired)
	w.cluster.Annotations[v1alpha1.AnnotationRecordsOf] = string(clusterUID)
	for i, pod := range w.pods {
		pod.Spec.Volumes = []corev1.Volume{{Name: "operator-tls", VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{},
		}}}
		w.agents["10.0.0."+string(rune('0'+i))+":8501"] = w.agent(i)
	}
	issuer, err := resources.NewAuthority(w.cluster, now)
	w.Expect(err).NotTo(HaveOccurred())
	pair, err := pki.Issue(issuer, resources.CertificateNames(w.cluster, resources.TLSServerName(w.cluster)), now)
	w.Expect(err).NotTo(HaveOccurred())
	authority = resources.AuthoritySecret(w.cluster, issuer)
	authorities = resources.AuthoritiesSecret(w.cluster, issuer.Certificate)
	certificate = resources.CertificateSecret(w.cluster, pair, issuer.Certificate, now)
	return authority, authorities, certificate
}

func TestServersWithCertificatesAreCalledByHTTPS(t *testing.T) {
	w := newWorld(t)
	authority, authorities, certificate := w.certify()
	w.pods[1].Spec.Volumes = nil // it started before
	w.others = append(w.others, authority, authorities, certificate)
	observer := w.observer()
	s, err := observer.Observe(t.Context(), w.cluster)
	w.Expect(err).NotTo(HaveOccurred())
	target := s.Target("consul-0")
	w.Expect(target.Address).To(Equal("10.0.0.0:8501"))
	w.Expect(target.Scheme).To(Equal("https"))
	w.Expect(target.TLS.TLSClientConfig.ServerName).To(Equal("server..consul"), "the datacenter of the test has no name")
	w.Expect(s.Target("consul-1").Address).To(Equal("10.0.0.1:8500"))
	w.Expect(s.Target("consul-1").TLS).To(BeNil())
	again, err := observer.Observe(t.Context(), w.cluster)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(again.Target("consul-0")).To(Equal(target), "a watch goes on")
	w.Expect(s.Spec.TLS.Phase).To(Equal(plan.TLSRequired))
	w.Expect(s.Spec.TLS.Certificate.Until).To(Equal(now.Add(90 * 24 * time.Hour)))
	w.Expect(s.Spec.TLS.Certificate.Misnamed).To(BeFalse())
}

// Each of the Secrets says whom to believe, and one of them is enough.
func TestAuthoritiesThatAreStillThere(t *testing.T) {
	for name, keep := range map[string]func(w *world) *corev1.Secret{
		"the authority":   func(w *world) *corev1.Secret { kept, _, _ := w.certify(); return kept },
		"its certificate": func(w *world) *corev1.Secret { _, kept, _ := w.certify(); return kept },
		"the servers'":    func(w *world) *corev1.Secret { _, _, kept := w.certify(); return kept },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.others = append(w.others, keep(w))
			w.Expect(pki.IsAuthority(w.look().Authorities)).To(BeTrue())
		})
	}
	w := newWorld(t)
	w.certify()
	w.Expect(w.look().Authorities).To(BeEmpty())
}

func TestCertificatesThatDoNotCount(t *testing.T) {
	for name, change := range map[string]func(s *corev1.Secret){
		"damaged":     func(s *corev1.Secret) { s.Data[corev1.TLSCertKey] = []byte("x") },
		"another's":   func(s *corev1.Secret) { s.OwnerReferences = nil },
		"of somebody": func(s *corev1.Secret) { s.Data[corev1.TLSCertKey] = another(t) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			authority, _, certificate := w.certify()
			change(certificate)
			w.others = append(w.others, authority, certificate)
			w.Expect(w.look().Spec.TLS.Certificate.Fingerprint).To(BeEmpty())
		})
	}
}

// another is a certificate of another authority.
func another(t *testing.T) []byte {
	t.Helper()
	g := NewWithT(t)
	authority, err := pki.NewAuthority("another", now)
	g.Expect(err).NotTo(HaveOccurred())
	pair, err := pki.Issue(authority, []string{"server.dc1.consul"}, now)
	g.Expect(err).NotTo(HaveOccurred())
	return pair.Certificate
}

// Servers are called by the name that they have, and get another certificate for it, whatever the spec says.
func TestTheDomainCannotChange(t *testing.T) {
	w := newWorld(t)
	authority, authorities, certificate := w.certify()
	w.others = append(w.others, authority, authorities, certificate)
	w.cluster.Spec.Config = &v1alpha1.Config{Raw: []byte(`{"domain": "example."}`)}
	s := w.look()
	w.Expect(s.Target("consul-0").TLS.TLSClientConfig.ServerName).To(Equal("server..consul"))
	w.Expect(s.Spec.TLS.Certificate.Misnamed).To(BeFalse())
	w.Expect(s.Spec.Invalid.Message).To(HavePrefix("spec.config.domain: servers know each other by certificates for server..consul" +
		", and would not take RPC from server..example"))
}

// I6: where the spec says nothing, TLS stays as it is.
func TestWhereTLSIsToGo(t *testing.T) {
	const off, accepting, sending, required, only = plan.TLSOff, plan.TLSAccepting, plan.TLSSending, plan.TLSRequired, plan.TLSOnly
	yes, no := new(true), new(false)
	for name, test := range map[string]struct {
		phase   v1alpha1.TLSPhase
		enabled *bool
		only    *bool
		target  plan.TLSPhase
	}{
		"it never had any":                         {"", nil, nil, off},
		"HTTPS only needs certificates":            {"", nil, yes, off},
		"the word is gone in the middle":           {v1alpha1.TLSAccepting, nil, yes, accepting},
		"HTTP stays open until somebody closes it": {"", yes, nil, required},
		"it stays closed":                          {v1alpha1.TLSHTTPSOnly, yes, nil, only},
		"it stays closed without a word":           {v1alpha1.TLSHTTPSOnly, nil, nil, only},
		"closed":                                   {v1alpha1.TLSSending, yes, yes, only},
		"closed later":                             {v1alpha1.TLSRequired, nil, yes, only},
		"opened":                                   {v1alpha1.TLSHTTPSOnly, nil, no, required},
		"off":                                      {v1alpha1.TLSHTTPSOnly, no, nil, off},
		"off, whatever it says of HTTPS":           {v1alpha1.TLSRequired, no, yes, off},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.cluster.Annotations[v1alpha1.AnnotationTLS] = string(test.phase)
			w.cluster.Annotations[v1alpha1.AnnotationRecordsOf] = string(clusterUID)
			w.cluster.Spec.TLS.Enabled, w.cluster.Spec.TLS.HTTPSOnly = test.enabled, test.only
			w.Expect(w.look().Spec.TLS.Target).To(Equal(test.target))
		})
	}
}

// I6: a new cluster has TLS without a word, and closes HTTP; any other one stays as it is.
func TestNewClustersHaveTLS(t *testing.T) {
	asks := func(enabled, only *bool) func(*world) {
		return func(w *world) { w.cluster.Spec.TLS.Enabled, w.cluster.Spec.TLS.HTTPSOnly = enabled, only }
	}
	for name, test := range map[string]struct {
		change func(*world)
		target plan.TLSPhase
	}{
		"without a word":          {asks(nil, nil), plan.TLSOnly},
		"asked for":               {asks(new(true), nil), plan.TLSOnly},
		"asked for, all of it":    {asks(new(true), new(true)), plan.TLSOnly},
		"HTTP is to stay open":    {asks(nil, new(false)), plan.TLSRequired},
		"the same, and asked for": {asks(new(true), new(false)), plan.TLSRequired},
		"not wanted":              {asks(new(false), nil), plan.TLSOff},
		"with certificates of its own": {func(w *world) {
			w.cluster.Spec.Config = &v1alpha1.Config{Raw: []byte(`{"TLS": {"defaults": {"verify_incoming": true}}}`)}
		}, plan.TLSOff},
		"one of several datacenters": {func(w *world) {
			w.cluster.Spec.Config = &v1alpha1.Config{Raw: []byte(`{"ports": {"serf_wan": 8302}}`)}
		}, plan.TLSOff},
		"one that had a leader": {func(w *world) {
			w.cluster.Annotations = map[string]string{
				v1alpha1.AnnotationBootstrapped: "then", v1alpha1.AnnotationRecordsOf: string(clusterUID),
			}
		}, plan.TLSOff},
		"one that was switched off": {func(w *world) {
			w.cluster.Annotations = map[string]string{
				v1alpha1.AnnotationTLS: string(v1alpha1.TLSOff), v1alpha1.AnnotationRecordsOf: string(clusterUID),
			}
		}, plan.TLSOff},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.claims, w.pods, w.cluster.Annotations = nil, nil, nil
			test.change(w)
			w.Expect(w.look().Spec.TLS.Target).To(Equal(test.target))
		})
	}
}

// Servers that still have certificates are called by HTTPS until they are replaced.
func TestTLSIsBeingSwitchedOff(t *testing.T) {
	w := newWorld(t)
	authority, authorities, certificate := w.certify()
	w.others = append(w.others, authority, authorities, certificate)
	w.cluster.Annotations[v1alpha1.AnnotationTLS] = string(v1alpha1.TLSOff)
	w.pods[0].Annotations = map[string]string{v1alpha1.AnnotationTLS: "Sending"}
	w.pods[1].Spec.Volumes = nil
	s := w.look()
	w.Expect(s.Servers[0].Pod.TLS).To(Equal(plan.TLSSending))
	w.Expect(s.Servers[1].Pod.TLS).To(Equal(plan.TLSOff))
	w.Expect(s.Servers[2].Pod.TLS).To(Equal(plan.TLSAccepting), "at least: somebody has taken its annotation away")
	w.Expect(s.HasNoTLS()).To(BeFalse())
	w.Expect(s.Target("consul-0").Scheme).To(Equal("https"))
	w.Expect(s.Target("consul-0").TLS).NotTo(BeNil())
	w.Expect(s.Target("consul-1").TLS).To(BeNil())
}

// Whom a phase would cut off is asked while there is one ahead, and no key is asked for.
func TestClientAgentsAreListedForTLS(t *testing.T) {
	w := newWorld(t)
	w.cluster.Spec.TLS.Enabled = new(true)
	w.serve()
	w.agent(0).silent["keyring"] = true
	w.Expect(w.look().Raft.Gossip).To(Equal(plan.GossipMembers{ClientAgents: []string{"app-1"}}))
}

// What a user provides counts once the authority that has issued it is the one that issues.
func TestACertificateOfAUser(t *testing.T) {
	g := NewWithT(t)
	theirs, err := pki.NewAuthority("theirs", now)
	g.Expect(err).NotTo(HaveOccurred())
	issue := func(by pki.Pair) pki.Pair {
		pair, err := pki.Issue(by, []string{"server..consul"}, now)
		g.Expect(err).NotTo(HaveOccurred())
		return pair
	}
	first, second := issue(theirs), issue(theirs)
	public := pki.Pair{Certificate: theirs.Certificate}
	type seen struct {
		stage                                                     plan.AuthorityStage
		brought, superseded, former, misnamed, differs, withdrawn bool
	}
	for name, test := range map[string]struct {
		change func(w *world, authority, authorities, certificate *corev1.Secret)
		seen   seen
	}{
		"it is another authority's": {
			func(*world, *corev1.Secret, *corev1.Secret, *corev1.Secret) {},
			seen{stage: plan.AuthoritySettled, differs: true},
		},
		"its authority comes": {
			func(w *world, authority, _, _ *corev1.Secret) {
				resources.SetNextAuthority(authority, w.cluster, public, now)
			}, seen{stage: plan.AuthorityComing},
		},
		"its authority comes, and the user takes it back": {
			func(w *world, authority, _, _ *corev1.Secret) {
				resources.SetNextAuthority(authority, w.cluster, public, now)
				w.cluster.Spec.TLS.CertSecretRef = nil
			}, seen{stage: plan.AuthorityComing, withdrawn: true},
		},
		"its authority issues": {
			func(w *world, authority, authorities, _ *corev1.Secret) {
				authorities.Data[corev1.TLSCertKey] = slices.Concat(authorities.Data[corev1.TLSCertKey], theirs.Certificate)
				resources.SetNextAuthority(authority, w.cluster, public, now)
				resources.PromoteAuthority(authority)
			}, seen{stage: plan.AuthorityGoing, brought: true, superseded: true, former: true},
		},
		"servers have it": {
			func(_ *world, authority, authorities, certificate *corev1.Secret) {
				resources.SetAuthority(authority, public)
				authorities.Data[corev1.TLSCertKey] = theirs.Certificate
				resources.SetCertificate(certificate, resources.Presented(first, theirs.Certificate), theirs.Certificate, now)
			}, seen{stage: plan.AuthoritySettled, brought: true, misnamed: true},
		},
		"servers have a former one": {
			func(_ *world, authority, authorities, certificate *corev1.Secret) {
				resources.SetAuthority(authority, public)
				authorities.Data[corev1.TLSCertKey] = theirs.Certificate
				resources.SetCertificate(certificate, resources.Presented(second, theirs.Certificate), theirs.Certificate, now)
			}, seen{stage: plan.AuthoritySettled, brought: true, superseded: true, misnamed: true},
		},
		"the user provides it no more": {
			func(w *world, authority, authorities, certificate *corev1.Secret) {
				resources.SetAuthority(authority, public)
				authorities.Data[corev1.TLSCertKey] = theirs.Certificate
				resources.SetCertificate(certificate, resources.Presented(first, theirs.Certificate), theirs.Certificate, now)
				w.cluster.Spec.TLS.CertSecretRef = nil
			}, seen{stage: plan.AuthoritySettled, brought: true, misnamed: true, withdrawn: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			authority, authorities, certificate := w.certify()
			w.cluster.Spec.TLS.CertSecretRef = &v1alpha1.SecretName{Name: "mine"}
			test.change(w, authority, authorities, certificate)
			w.others = append(w.others, authority, authorities, certificate, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Name: "mine", Namespace: w.cluster.Namespace},
				Data:       map[string][]byte{"tls.crt": first.Certificate, "tls.key": first.Key, "ca.crt": theirs.Certificate},
			})
			s := w.look()
			a, c := s.Spec.TLS.Authority, s.Spec.TLS.Certificate
			w.Expect(seen{
				a.Stage, c.Brought, c.Superseded, c.Former, c.Misnamed, a.Replacement.Differs, a.Replacement.Withdrawn,
			}).To(Equal(test.seen))
			w.Expect(s.Spec.Unusable).To(BeNil())
			w.Expect(s.TLSName).To(Equal("server..consul"))
		})
	}
}

// A certificate of an authority that was renewed with its key verifies by the former one as well, which may have expired: servers
// cannot be given it before they believe the renewed one.
func TestACertificateOfAnAuthorityWithTheSameKey(t *testing.T) {
	w := newWorld(t)
	_, authorities, certificate := w.certify()
	issuer, err := resources.NewAuthority(w.cluster, now.Add(-10*365*24*time.Hour)) // of which five are left that are over
	w.Expect(err).NotTo(HaveOccurred())
	renewed := w.until(issuer, issuer, now.Add(24*time.Hour))
	issue := func(at time.Time) pki.Pair {
		pair, err := pki.Issue(renewed, []string{"server..consul"}, at)
		w.Expect(err).NotTo(HaveOccurred())
		return pair
	}
	const before = 5*365*24*time.Hour + 48*time.Hour // while the former one was valid
	theirs, present := issue(now.Add(-before)), issue(now.Add(-before))
	_, until, err := pki.Validity(theirs.Certificate)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(until).To(BeTemporally("<", now))
	theirs = w.until(theirs, renewed, now.Add(24*time.Hour))

	authority := resources.AuthoritySecret(w.cluster, pki.Pair{Certificate: issuer.Certificate})
	authorities.Data[corev1.TLSCertKey] = issuer.Certificate
	resources.SetCertificate(certificate, resources.Presented(present, issuer.Certificate), issuer.Certificate, now)
	w.cluster.Spec.TLS.CertSecretRef = &v1alpha1.SecretName{Name: "mine"}
	w.others = append(w.others, authority, authorities, certificate, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "mine", Namespace: w.cluster.Namespace},
		Data:       map[string][]byte{"tls.crt": theirs.Certificate, "tls.key": theirs.Key, "ca.crt": renewed.Certificate},
	})
	seen := w.look().Spec
	w.Expect(seen.Unusable).To(BeNil())
	w.Expect(seen.TLS.Authority.Replacement.Differs).To(BeTrue())
	w.Expect(seen.TLS.Certificate.Superseded).To(BeFalse())
}

// until is a certificate that is valid longer, issued again.
func (w *world) until(pair, issuer pki.Pair, end time.Time) pki.Pair {
	w.t.Helper()
	leaf, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	w.Expect(err).NotTo(HaveOccurred())
	signer, err := tls.X509KeyPair(issuer.Certificate, issuer.Key)
	w.Expect(err).NotTo(HaveOccurred())
	longer := *leaf.Leaf
	longer.NotAfter = end
	raw, err := x509.CreateCertificate(rand.Reader, &longer, signer.Leaf, leaf.Leaf.PublicKey, signer.PrivateKey)
	w.Expect(err).NotTo(HaveOccurred())
	return pki.Pair{Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), Key: pair.Key}
}

// How far the rotation of the authority is follows from what the Secrets hold.
func TestTheStagesOfTheAuthority(t *testing.T) {
	next, err := pki.NewAuthority("next", now)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	both := func(a, b []byte) []byte { return slices.Concat(a, b) }
	for name, test := range map[string]struct {
		change func(w *world, authority, authorities, certificate *corev1.Secret)
		seen   plan.Authority
		// because of what the certificate has to be replaced.
		former, unbelieving bool
	}{
		"settled": {
			func(*world, *corev1.Secret, *corev1.Secret, *corev1.Secret) {}, plan.Authority{Stage: plan.AuthoritySettled}, false, false,
		},
		"asked for": {func(w *world, _, _, _ *corev1.Secret) {
			w.cluster.Annotations[v1alpha1.AnnotationRotateAuthority] = "now"
		}, plan.Authority{Stage: plan.AuthoritySettled, Replacement: plan.Replacement{Asked: true}}, false, false},
		"there is another one": {func(w *world, authority, _, _ *corev1.Secret) {
			resources.SetNextAuthority(authority, w.cluster, next, now)
		}, plan.Authority{Stage: plan.AuthorityComing}, false, false},
		"clients are told": {func(w *world, authority, authorities, _ *corev1.Secret) {
			resources.SetNextAuthority(authority, w.cluster, next, now)
			authorities.Data[corev1.TLSCertKey] = both(authorities.Data[corev1.TLSCertKey], next.Certificate)
			authorities.Annotations = map[string]string{v1alpha1.AnnotationKeysChanged: now.Add(time.Hour).Format(time.RFC3339)}
			w.cluster.Spec.TLS.CAGracePeriod = &metav1.Duration{Duration: time.Minute}
		}, plan.Authority{Stage: plan.AuthorityComing, Introduced: true, KnownAt: now.Add(time.Hour + time.Minute)}, false, true},
		"clients are told, and nobody says for how long": {func(w *world, authority, authorities, _ *corev1.Secret) {
			resources.SetNextAuthority(authority, w.cluster, next, now)
			authorities.Data[corev1.TLSCertKey] = both(authorities.Data[corev1.TLSCertKey], next.Certificate)
			authorities.Annotations = map[string]string{v1alpha1.AnnotationKeysChanged: now.Format(time.RFC3339)}
		}, plan.Authority{Stage: plan.AuthorityComing, Introduced: true, KnownAt: now.Add(24 * time.Hour)}, false, true},
		"the other one issues": {func(_ *world, authority, authorities, _ *corev1.Secret) {
			authorities.Data[corev1.TLSCertKey] = both(authorities.Data[corev1.TLSCertKey], next.Certificate)
			resources.SetAuthority(authority, next)
		}, plan.Authority{Stage: plan.AuthorityGoing}, true, true},
		"of another cluster": {func(_ *world, authority, _, _ *corev1.Secret) {
			resources.SetAuthority(authority, next)
		}, plan.Authority{}, false, false},
		"damaged": {func(_ *world, authority, _, _ *corev1.Secret) {
			authority.Data[corev1.TLSCertKey] = []byte("x")
		}, plan.Authority{}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			authority, authorities, certificate := w.certify()
			test.change(w, authority, authorities, certificate)
			w.others = append(w.others, authority, authorities, certificate)
			seen := w.look().Spec.TLS
			w.Expect(seen.Authority.Until.IsZero()).To(Equal(test.seen.Stage == plan.AuthorityUnknown))
			seen.Authority.From, seen.Authority.Until = time.Time{}, time.Time{}
			w.Expect(seen.Authority).To(Equal(test.seen))
			w.Expect(seen.Certificate.Former).To(Equal(test.former))
			w.Expect(seen.Certificate.Unbelieving).To(Equal(test.unbelieving))
		})
	}
}
