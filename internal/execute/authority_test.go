package execute_test

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/execute"
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
