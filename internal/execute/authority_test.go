package execute_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/execute"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// Through a rotation of the authority, servers that have read the certificate of a step believe those that have read the one
// before it, or the one after.
func TestTheAuthorityIsRotated(t *testing.T) {
	w := certified(t)
	given := []*corev1.Secret{w.secret(t, "consul-server-cert")}
	former := w.secret(t, "consul-ca-cert").Data[corev1.TLSCertKey]
	w.seen.Cluster.Annotations[v1alpha1.AnnotationRotateAuthority] = "now"
	isAsked := func() bool {
		return resources.IsAsked(w.seen.Cluster, w.secret(t, "consul-ca-key"), v1alpha1.AnnotationRotateAuthority)
	}
	w.Expect(isAsked()).To(BeTrue())
	for _, step := range []plan.AuthorityStep{plan.IntroduceAuthority, plan.PromoteAuthority, plan.ForgetAuthority} {
		w.do(t, plan.RotateAuthority{Step: step, Because: "a test wants it"})
		w.picture(t)
		w.do(t, plan.IssueCertificate{Because: string(step)})
		w.picture(t)
		given = append(given, w.secret(t, "consul-server-cert"))
		if step == plan.IntroduceAuthority {
			w.Expect(isAsked()).To(BeFalse(), "it is under way")
			w.Expect(w.secret(t, "consul-ca-cert").Annotations).To(HaveKey(v1alpha1.AnnotationKeysChanged))
		}
	}
	for i := 1; i < len(given); i++ {
		for _, pair := range [][2]*corev1.Secret{{given[i-1], given[i]}, {given[i], given[i-1]}} {
			w.Expect(resources.PairOf(pair[0]).Check(resources.Authorities(pair[1]), w.executor.Now())).To(Succeed(), "step %d", i)
		}
	}
	now := w.secret(t, "consul-ca-cert").Data[corev1.TLSCertKey]
	w.Expect(pki.Believes(now, former)).To(BeFalse())
	w.Expect(pki.Same(now, w.secret(t, "consul-ca-key").Data[corev1.TLSCertKey])).To(BeTrue())
	w.Expect(w.secret(t, "consul-ca-key").Data).To(HaveLen(2))
	w.Expect(resources.PairOf(given[0]).Check(now, w.executor.Now())).NotTo(Succeed(), "nobody believes the former one any more")
}

// After a crash in the middle of a step the same step is taken again.
func TestAnAuthorityIsIntroducedAgain(t *testing.T) {
	w := certified(t)
	w.do(t, plan.RotateAuthority{Step: plan.IntroduceAuthority})
	w.picture(t)
	next := resources.NextAuthority(w.seen.AuthoritySecret)
	w.do(t, plan.RotateAuthority{Step: plan.IntroduceAuthority})
	w.Expect(resources.NextAuthority(w.secret(t, "consul-ca-key"))).To(Equal(next))
	w.Expect(pki.Believes(w.secret(t, "consul-ca-cert").Data[corev1.TLSCertKey], next.Certificate)).To(BeTrue())
}

func TestAnAuthorityThatHasChanged(t *testing.T) {
	w := certified(t)
	changed := w.secret(t, "consul-ca-key")
	changed.Labels["a"] = "b"
	w.Expect(w.client.Update(t.Context(), changed)).To(Succeed())
	_, err := w.executor.Do(t.Context(), w.seen, plan.RotateAuthority{Step: plan.PromoteAuthority})
	w.Expect(err).To(MatchError(execute.ErrStale))
}

// The present authority is not given away for one that cannot issue.
func TestANextAuthorityThatCannotIssue(t *testing.T) {
	w := certified(t)
	w.do(t, plan.RotateAuthority{Step: plan.IntroduceAuthority})
	damaged := w.secret(t, "consul-ca-key")
	former, present := resources.NextAuthority(damaged).Certificate, resources.PairOf(damaged)
	damaged.Data["next.key"] = present.Key
	w.Expect(w.client.Update(t.Context(), damaged)).To(Succeed())
	w.picture(t)
	w.do(t, plan.RotateAuthority{Step: plan.PromoteAuthority})
	now := w.secret(t, "consul-ca-key")
	w.Expect(resources.PairOf(now)).To(Equal(present))
	w.Expect(resources.NextAuthority(now).Certificate).NotTo(Equal(former), "there is another one")
	told := w.secret(t, "consul-ca-cert").Data[corev1.TLSCertKey]
	w.Expect(pki.Believes(told, resources.NextAuthority(now).Certificate)).To(BeTrue())
}

// An authority that a user provides is the first one, or takes the place of the present one.
func TestAnAuthorityThatAUserProvides(t *testing.T) {
	w := newWorld(t)
	w.seen.Cluster.Spec.TLS.CASecretRef = &v1alpha1.SecretName{Name: "mine"}
	w.Expect(w.client.Update(t.Context(), w.seen.Cluster)).To(Succeed())
	first, err := pki.NewAuthority("first", w.executor.Now())
	w.Expect(err).NotTo(HaveOccurred())
	second, err := pki.NewAuthority("second", w.executor.Now())
	w.Expect(err).NotTo(HaveOccurred())

	w.seen.UserSecrets.Authority = first
	w.do(t, plan.SetTLS{Phase: plan.TLSRequired})
	w.Expect(w.secret(t, "consul-ca-cert").Data[corev1.TLSCertKey]).To(Equal(first.Certificate))
	w.picture(t)
	_, err = w.executor.Do(t.Context(), w.seen, plan.RotateAuthority{Step: plan.IntroduceAuthority})
	w.Expect(err).To(MatchError(ContainSubstring("the Secret mine cannot be used")), "the operator makes none beside it")

	w.picture(t)
	w.seen.UserSecrets.Authority, err = pki.NewAuthority("taken back", w.executor.Now())
	w.Expect(err).NotTo(HaveOccurred())
	takenBack := w.seen.UserSecrets.Authority.Certificate
	w.do(t, plan.RotateAuthority{Step: plan.IntroduceAuthority})
	w.Expect(pki.Believes(w.secret(t, "consul-ca-cert").Data[corev1.TLSCertKey], takenBack)).To(BeTrue())
	for _, step := range []plan.AuthorityStep{plan.IntroduceAuthority, plan.PromoteAuthority} {
		w.picture(t)
		w.seen.UserSecrets.Authority = second
		w.do(t, plan.RotateAuthority{Step: step})
		w.Expect(resources.NewestAuthority(w.secret(t, "consul-ca-key"))).To(Equal(second.Certificate))
	}
	w.Expect(resources.PairOf(w.secret(t, "consul-ca-key"))).To(Equal(second))
	w.Expect(pki.Believes(w.secret(t, "consul-ca-cert").Data[corev1.TLSCertKey], takenBack)).To(BeFalse())
	w.picture(t)
	w.do(t, plan.RotateAuthority{Step: plan.ForgetAuthority})

	w.picture(t)
	w.Expect(w.client.Delete(t.Context(), w.secret(t, "consul-ca-key"))).To(Succeed())
	w.seen.AuthoritySecret, w.seen.UserSecrets.Authority = nil, second
	w.carryOut(t, plan.Decision{})
	w.Expect(resources.PairOf(w.secret(t, "consul-ca-key"))).To(Equal(second), "it is not lost")
}

// provides is a Secret with a certificate of an authority, as a user has it.
func (w *world) provides(authority pki.Pair) observe.UserSecrets {
	certificate, err := pki.Issue(authority, []string{resources.TLSServerName(w.seen.Cluster)}, w.executor.Now())
	w.Expect(err).NotTo(HaveOccurred())
	return observe.UserSecrets{Authority: pki.Pair{Certificate: authority.Certificate}, Certificate: certificate}
}

// isBrought has the picture say what it says of a certificate that a user provides.
func (w *world) isBrought(t *testing.T, theirs observe.UserSecrets) {
	t.Helper()
	w.picture(t)
	w.seen.UserSecrets = theirs
	w.seen.Spec.TLS.Certificate.Brought = resources.IssuesNothing(w.seen.AuthoritySecret)
}

// A certificate that a user provides takes the place of one of the operator, another one takes its place, and then the operator
// issues again. Servers that have read a step believe those that have read the one before it, or the one after, and what they
// present tells which one they have read.
func TestCertificatesThatAUserProvides(t *testing.T) {
	w := certified(t)
	given := []*corev1.Secret{w.secret(t, "consul-server-cert")}
	var authorities []pki.Pair
	for range 3 {
		authority, err := pki.NewAuthority("theirs", w.executor.Now())
		w.Expect(err).NotTo(HaveOccurred())
		authorities = append(authorities, authority)
	}
	step := func(theirs observe.UserSecrets, actions ...plan.Action) {
		t.Helper()
		for _, action := range actions {
			w.isBrought(t, theirs)
			w.do(t, action)
		}
		given = append(given, w.secret(t, "consul-server-cert"))
	}
	issue := plan.IssueCertificate{Because: "a test wants it"}
	rotate := func(s plan.AuthorityStep) plan.Action {
		return plan.RotateAuthority{Step: s, Because: "a test wants it"}
	}
	all := func(theirs observe.UserSecrets) {
		t.Helper()
		for _, s := range []plan.AuthorityStep{plan.IntroduceAuthority, plan.PromoteAuthority, plan.ForgetAuthority} {
			step(theirs, rotate(s), issue)
		}
	}
	isTheirs := func(theirs observe.UserSecrets) {
		t.Helper()
		w.Expect(w.secret(t, "consul-server-cert").Data[corev1.TLSPrivateKeyKey]).To(Equal(theirs.Certificate.Key))
		w.Expect(w.secret(t, "consul-ca-cert").Data[corev1.TLSCertKey]).To(Equal(theirs.Authority.Certificate))
		w.Expect(w.secret(t, "consul-ca-key").Data).To(And(HaveLen(2), HaveKeyWithValue(corev1.TLSPrivateKeyKey, BeEmpty())))
	}
	w.seen.Cluster.Spec.TLS.CertSecretRef = &v1alpha1.SecretName{Name: "mine"}
	w.Expect(w.client.Update(t.Context(), w.seen.Cluster)).To(Succeed())
	first := w.provides(authorities[0])
	all(first)
	isTheirs(first)

	renewed := w.provides(authorities[0])
	step(renewed, issue)
	isTheirs(renewed)

	// The user changes authority, and once more before servers got a certificate of it.
	second, third := w.provides(authorities[1]), w.provides(authorities[2])
	step(second, rotate(plan.IntroduceAuthority), issue)
	step(third, rotate(plan.PromoteAuthority), issue) // it is not promoted
	w.Expect(w.secret(t, "consul-server-cert").Data[corev1.TLSPrivateKeyKey]).To(Equal(renewed.Certificate.Key), "they keep it")
	step(second, rotate(plan.IntroduceAuthority), issue)
	step(second, rotate(plan.PromoteAuthority))
	step(third, issue, rotate(plan.IntroduceAuthority), issue)
	w.Expect(w.secret(t, "consul-server-cert").Data[corev1.TLSPrivateKeyKey]).To(Equal(renewed.Certificate.Key), "they keep it")
	step(third, rotate(plan.PromoteAuthority), issue)
	step(third, rotate(plan.ForgetAuthority), issue)
	isTheirs(third)

	step(second, rotate(plan.IntroduceAuthority), issue) // and then the user brings none any more
	w.seen.Cluster.Spec.TLS.CertSecretRef = nil
	w.Expect(w.client.Update(t.Context(), w.seen.Cluster)).To(Succeed())
	all(observe.UserSecrets{})
	w.Expect(resources.IssuesNothing(w.secret(t, "consul-ca-key"))).To(BeFalse())

	for i := 1; i < len(given); i++ {
		for _, pair := range [][2]*corev1.Secret{{given[i-1], given[i]}, {given[i], given[i-1]}} {
			w.Expect(resources.PairOf(pair[0]).Check(resources.Authorities(pair[1]), w.executor.Now())).To(Succeed(), "step %d", i)
		}
		if !pki.Same(resources.Authorities(given[i-1]), resources.Authorities(given[i])) {
			w.Expect(given[i].Data[corev1.TLSCertKey]).NotTo(Equal(given[i-1].Data[corev1.TLSCertKey]), "step %d", i)
		}
	}
}

// A new cluster starts with the certificate that a user provides, and waits for it.
func TestANewClusterWithACertificateOfAUser(t *testing.T) {
	w := newWorld(t)
	w.seen.Cluster.Spec.TLS.CertSecretRef = &v1alpha1.SecretName{Name: "mine"}
	w.Expect(w.client.Update(t.Context(), w.seen.Cluster)).To(Succeed())
	_, err := w.executor.Do(t.Context(), w.seen, plan.SetTLS{Phase: plan.TLSRequired})
	w.Expect(err).To(MatchError(ContainSubstring("the Secret mine cannot be used")))
	authority, err := pki.NewAuthority("theirs", w.executor.Now())
	w.Expect(err).NotTo(HaveOccurred())
	w.seen.UserSecrets = w.provides(authority)
	w.do(t, plan.SetTLS{Phase: plan.TLSRequired})
	server := w.secret(t, "consul-server-cert")
	w.Expect(resources.PairOf(server)).To(Equal(resources.Presented(w.seen.UserSecrets.Certificate, authority.Certificate)))
	w.Expect(w.secret(t, "consul-ca-cert").Data[corev1.TLSCertKey]).To(Equal(authority.Certificate))
	w.Expect(resources.IssuesNothing(w.secret(t, "consul-ca-key"))).To(BeTrue())

	w.isBrought(t, observe.UserSecrets{})
	w.Expect(w.client.Delete(t.Context(), server)).To(Succeed())
	w.seen.CertificateSecret = nil
	_, err = w.executor.Do(t.Context(), w.seen, plan.IssueCertificate{Because: "it is lost"})
	w.Expect(err).To(MatchError(ContainSubstring("spec.tls.certSecretRef names no Secret with a certificate of the authority")))
}

// A certificate of a user that has expired is as good as the cluster has, until there is one of another authority.
func TestACertificateOfAUserThatHasExpired(t *testing.T) {
	w := newWorld(t)
	w.seen.Cluster.Spec.TLS.CertSecretRef = &v1alpha1.SecretName{Name: "mine"}
	w.Expect(w.client.Update(t.Context(), w.seen.Cluster)).To(Succeed())
	first, err := pki.NewAuthority("first", w.executor.Now())
	w.Expect(err).NotTo(HaveOccurred())
	theirs := w.provides(first)
	w.seen.UserSecrets = theirs
	w.do(t, plan.SetTLS{Phase: plan.TLSRequired})

	later := w.executor.Now().Add(100 * 24 * time.Hour)
	w.executor.Now = func() time.Time { return later }
	second, err := pki.NewAuthority("second", later)
	w.Expect(err).NotTo(HaveOccurred())
	now := w.provides(second)
	w.isBrought(t, now)
	w.do(t, plan.RotateAuthority{Step: plan.IntroduceAuthority, Because: "a test wants it"})
	w.isBrought(t, now)
	w.do(t, plan.IssueCertificate{Because: "a test wants it"})
	w.Expect(w.secret(t, "consul-server-cert").Data).To(And(HaveKeyWithValue(corev1.TLSPrivateKeyKey, theirs.Certificate.Key),
		HaveKeyWithValue("ca.crt", pki.Join(first.Certificate, second.Certificate))))
}

// Where a user provides certificates, the Secret of the authority has no key that could be lost.
func TestTheAuthorityOfCertificatesThatAUserProvidesIsLost(t *testing.T) {
	w := certified(t)
	w.seen.Cluster.Spec.TLS.CertSecretRef = &v1alpha1.SecretName{Name: "mine"}
	w.Expect(w.client.Update(t.Context(), w.seen.Cluster)).To(Succeed())
	authority, err := pki.NewAuthority("theirs", w.executor.Now())
	w.Expect(err).NotTo(HaveOccurred())
	former := w.secret(t, "consul-ca-cert").Data[corev1.TLSCertKey]
	w.isBrought(t, w.provides(authority))
	w.do(t, plan.RotateAuthority{Step: plan.IntroduceAuthority, Because: "servers believe two"})
	w.isBrought(t, observe.UserSecrets{})
	w.Expect(w.client.Delete(t.Context(), w.secret(t, "consul-ca-key"))).To(Succeed())
	w.seen.AuthoritySecret = nil
	w.carryOut(t, plan.Decision{})
	w.Expect(resources.PairOf(w.secret(t, "consul-ca-key"))).To(Equal(pki.Pair{Certificate: former, Key: []byte{}}),
		"clients may not know the one that comes")
}

// A Secret of the authority that was restored from another time does not count.
func TestACertificateOfAnAuthorityThatServersDoNotBelieve(t *testing.T) {
	w := certified(t)
	w.seen.Cluster.Spec.TLS.CertSecretRef = &v1alpha1.SecretName{Name: "mine"}
	w.Expect(w.client.Update(t.Context(), w.seen.Cluster)).To(Succeed())
	authority, err := pki.NewAuthority("another time's", w.executor.Now())
	w.Expect(err).NotTo(HaveOccurred())
	restored := w.secret(t, "consul-ca-key")
	resources.SetAuthority(restored, pki.Pair{Certificate: authority.Certificate})
	w.Expect(w.client.Update(t.Context(), restored)).To(Succeed())
	w.isBrought(t, w.provides(authority))
	w.Expect(w.client.Delete(t.Context(), w.secret(t, "consul-server-cert"))).To(Succeed())
	w.seen.CertificateSecret = nil
	_, err = w.executor.Do(t.Context(), w.seen, plan.IssueCertificate{Because: "it is lost"})
	w.Expect(err).To(MatchError(ContainSubstring("servers do not believe what it holds")))
}

// A key that was there when TLS was switched off is not gone on with.
func TestTLSAgainWithACertificateOfAUser(t *testing.T) {
	w := newWorld(t)
	authority, err := pki.NewAuthority("theirs", w.executor.Now())
	w.Expect(err).NotTo(HaveOccurred())
	w.seen.Cluster.Spec.TLS.CASecretRef = &v1alpha1.SecretName{Name: "mine"}
	w.Expect(w.client.Update(t.Context(), w.seen.Cluster)).To(Succeed())
	w.seen.UserSecrets.Authority = authority
	w.do(t, plan.SetTLS{Phase: plan.TLSRequired})
	w.Expect(resources.IssuesNothing(w.secret(t, "consul-ca-key"))).To(BeFalse())
	w.picture(t)
	w.seen.Spec.TLS.Phase = plan.TLSOff
	w.seen.Cluster.Spec.TLS.CASecretRef, w.seen.Cluster.Spec.TLS.CertSecretRef = nil, &v1alpha1.SecretName{Name: "mine"}
	w.seen.UserSecrets = w.provides(authority)
	w.do(t, plan.SetTLS{Phase: plan.TLSRequired})
	w.Expect(resources.IssuesNothing(w.secret(t, "consul-ca-key"))).To(BeTrue())
	w.Expect(w.secret(t, "consul-server-cert").Data[corev1.TLSPrivateKeyKey]).To(Equal(w.seen.UserSecrets.Certificate.Key))
}

// As long as servers may have a certificate of the former authority, one Secret is enough to know whom to believe.
func TestTheFormerAuthorityIsRemembered(t *testing.T) {
	w := certified(t)
	former := w.secret(t, "consul-ca-key").Data[corev1.TLSCertKey]
	w.do(t, plan.RotateAuthority{Step: plan.IntroduceAuthority})
	w.picture(t)
	w.do(t, plan.RotateAuthority{Step: plan.PromoteAuthority})
	w.Expect(pki.Believes(resources.Authorities(w.secret(t, "consul-ca-key")), former)).To(BeTrue())
	w.picture(t)
	w.do(t, plan.RotateAuthority{Step: plan.ForgetAuthority})
	w.Expect(pki.Believes(resources.Authorities(w.secret(t, "consul-ca-key")), former)).To(BeFalse())
}

// A word is for one step.
func TestAWordForAStepOfTheAuthority(t *testing.T) {
	w := certified(t)
	w.do(t, plan.RotateAuthority{Step: plan.IntroduceAuthority})
	w.Expect(w.client.Patch(t.Context(), w.seen.Cluster, client.RawPatch(types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"`+v1alpha1.AnnotationAgentsReady+`":"PromoteAuthority"}}}`)))).To(Succeed())
	w.picture(t)
	w.do(t, plan.SetTLS{Phase: plan.TLSSending})
	w.Expect(w.annotations(t)).To(HaveKey(v1alpha1.AnnotationAgentsReady), "it was not for a phase")
	w.picture(t)
	w.do(t, plan.RotateAuthority{Step: plan.PromoteAuthority})
	w.Expect(w.annotations(t)).NotTo(HaveKey(v1alpha1.AnnotationAgentsReady))
}
