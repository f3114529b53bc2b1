package execute_test

import (
	"bytes"
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/execute"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func (w *world) secret(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	w.Expect(w.client.Get(t.Context(), key(name), secret)).To(Succeed())
	return secret
}

// certified is a cluster whose servers have a certificate.
func certified(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.do(t, plan.SetTLS{Phase: plan.TLSRequired})
	w.picture(t)
	return w
}

// picture is what the operator sees now.
func (w *world) picture(t *testing.T) {
	t.Helper()
	w.look(t)
	w.seen.Spec.TLS.Phase = plan.TLSRequired
	w.seen.CertificateSecret, w.seen.AuthoritySecret = w.secret(t, "consul-server-cert"), w.secret(t, "consul-ca-key")
	w.seen.Authorities = resources.Authorities(w.secret(t, "consul-ca-cert"))
	w.seen.TLSName = resources.TLSServerName(w.seen.Cluster)
}

func (w *world) do(t *testing.T, action plan.Action) execute.Outcome {
	t.Helper()
	outcome, err := w.executor.Do(t.Context(), w.seen, action)
	w.Expect(err).NotTo(HaveOccurred())
	return outcome
}

func (w *world) certificate(t *testing.T) pki.Facts {
	t.Helper()
	authorities := w.secret(t, "consul-ca-cert").Data[corev1.TLSCertKey]
	facts, err := pki.Inspect(w.secret(t, "consul-server-cert").Data[corev1.TLSCertKey], authorities)
	w.Expect(err).NotTo(HaveOccurred())
	return facts
}

func TestCertificatesAreThereBeforeTheyAreRecorded(t *testing.T) {
	w := newWorld(t)
	outcome := w.do(t, plan.SetTLS{Phase: plan.TLSRequired})
	w.Expect(outcome.Event).To(Equal("TLS goes from Off to Required"))
	w.Expect(w.annotations(t)).To(HaveKeyWithValue(v1alpha1.AnnotationTLS, "Required"))
	w.Expect(resources.IsNamed(w.seen.Cluster, w.certificate(t))).To(BeTrue())
	authority := w.secret(t, "consul-ca-key").Data

	w.look(t)
	w.do(t, plan.SetTLS{Phase: plan.TLSRequired}) // after a crash before the record
	w.Expect(w.secret(t, "consul-ca-key").Data).To(Equal(authority), "what is there is used")
	w.Expect(resources.IsNamed(w.seen.Cluster, w.certificate(t))).To(BeTrue())
}

// What is left of TLS that was switched off is no obstacle: no server believes it.
func TestTLSAgain(t *testing.T) {
	for name, change := range map[string]func(*world){
		"the key of the authority is lost": func(w *world) {
			w.Expect(w.client.Delete(t.Context(), w.secret(t, "consul-ca-key"))).To(Succeed())
		},
		"the authority ends before its next certificate": func(w *world) {
			years := w.executor.Now().Add(5*365*24*time.Hour - 20*24*time.Hour)
			w.executor.Now = func() time.Time { return years }
		},
		"the domain is another": func(w *world) {
			w.seen.Cluster.Spec.Config = &v1alpha1.Config{Raw: []byte(`{"domain": "example"}`)}
		},
		"another authority is asked for": func(w *world) {
			w.seen.Cluster.Annotations[v1alpha1.AnnotationRotateAuthority] = "now"
		},
		"another authority was to take its place": func(w *world) {
			w.do(t, plan.RotateAuthority{Step: plan.IntroduceAuthority})
			w.look(t)
			w.seen.Spec.TLS.Phase = plan.TLSOff
		},
		"the certificate is damaged": func(w *world) {
			damaged := w.secret(t, "consul-server-cert")
			damaged.Data[corev1.TLSCertKey] = []byte("x")
			w.Expect(w.client.Update(t.Context(), damaged)).To(Succeed())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := certified(t)
			former := w.secret(t, "consul-ca-key").Data
			w.seen.Spec.TLS.Phase = plan.TLSOff
			change(w)
			w.do(t, plan.SetTLS{Phase: plan.TLSAccepting})
			isAnother := !maps.EqualFunc(w.secret(t, "consul-ca-key").Data, former, bytes.Equal)
			w.Expect(isAnother).To(Equal(strings.Contains(name, "authority")), "what can be used is used")
			facts := w.certificate(t)
			w.Expect(facts.Subject).To(Equal(resources.TLSServerName(w.seen.Cluster)))
			believed := w.secret(t, "consul-ca-cert").Data[corev1.TLSCertKey]
			w.Expect(resources.PairOf(w.secret(t, "consul-server-cert")).Check(believed, w.executor.Now().Add(60*24*time.Hour))).
				To(Succeed(), "it lasts")
			w.Expect(w.secret(t, "consul-ca-key").Data[corev1.TLSCertKey]).To(Equal(believed))
		})
	}
}

// While a server still has a certificate, what it believes stays.
func TestAPhaseOfTLSIsTakenBack(t *testing.T) {
	w := certified(t)
	w.seen.Spec.TLS.Phase = plan.TLSOff
	w.seen.Servers = []plan.Server{{Name: "consul-0", Pod: &plan.Pod{TLS: plan.TLSAccepting}}}
	before := w.certificate(t)
	w.do(t, plan.SetTLS{Phase: plan.TLSAccepting})
	w.Expect(w.certificate(t)).To(Equal(before))
}

func TestAWordForAgentsIsUsedUp(t *testing.T) {
	w := certified(t)
	w.Expect(w.client.Patch(t.Context(), w.seen.Cluster, client.RawPatch(types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"`+v1alpha1.AnnotationAgentsReady+`":"TLSRequired"}}}`)))).To(Succeed())
	w.picture(t)
	w.seen.Spec.TLS.Phase = plan.TLSAccepting
	w.do(t, plan.SetTLS{Phase: plan.TLSSending})
	w.Expect(w.annotations(t)).To(HaveKey(v1alpha1.AnnotationAgentsReady), "it is for the next one")
	w.picture(t)
	w.seen.Spec.TLS.Phase = plan.TLSSending
	w.do(t, plan.SetTLS{Phase: plan.TLSRequired})
	w.Expect(w.annotations(t)).NotTo(HaveKey(v1alpha1.AnnotationAgentsReady))
}

// Another phase makes no other authority, also if it is lost: servers would not believe it.
func TestAnotherPhaseOfTLS(t *testing.T) {
	w := certified(t)
	w.Expect(w.client.Delete(t.Context(), w.secret(t, "consul-ca-key"))).To(Succeed())
	w.Expect(w.do(t, plan.SetTLS{Phase: plan.TLSSending}).Event).To(Equal("TLS goes from Required to Sending"))
	w.Expect(w.annotations(t)).To(HaveKeyWithValue(v1alpha1.AnnotationTLS, "Sending"))
	w.Expect(w.client.Get(t.Context(), key("consul-ca-key"), &corev1.Secret{})).NotTo(Succeed())
}

func TestAnAuthorityOfSomebodyElse(t *testing.T) {
	w := newWorld(t)
	theirs := resources.AuthoritySecret(w.seen.Cluster, pki.Pair{})
	theirs.OwnerReferences, theirs.Labels = nil, nil
	w.Expect(w.client.Create(t.Context(), theirs)).To(Succeed())
	_, err := w.executor.Do(t.Context(), w.seen, plan.SetTLS{Phase: plan.TLSRequired})
	w.Expect(err).To(MatchError(HaveSuffix("Secret consul-ca-key exists and does not belong to this cluster: delete or rename it, " +
		"or create the ConsulCluster under another name, or set spec.tls.enabled to false")))
	w.Expect(w.annotations(t)).NotTo(HaveKey(v1alpha1.AnnotationTLS))
}

func TestACertificateIsIssued(t *testing.T) {
	w := certified(t)
	before := w.certificate(t)
	at := time.Now().Add(time.Hour).Truncate(time.Second)
	w.executor.Now = func() time.Time { return at }
	outcome := w.do(t, plan.IssueCertificate{Because: "servers have other names"})
	w.Expect(outcome.Event).To(Equal("the servers get another certificate: servers have other names"))
	w.Expect(w.certificate(t).Fingerprint).NotTo(Equal(before.Fingerprint))
	w.Expect(w.secret(t, "consul-server-cert").Annotations).To(
		HaveKeyWithValue(v1alpha1.AnnotationKeysChanged, at.UTC().Format(time.RFC3339)))

	_, err := w.executor.Do(t.Context(), w.seen, plan.IssueCertificate{Because: "again"})
	w.Expect(err).To(MatchError(execute.ErrStale), "it has changed since")
}

func TestALostAuthority(t *testing.T) {
	w := certified(t)
	w.Expect(w.client.Delete(t.Context(), w.secret(t, "consul-ca-key"))).To(Succeed())
	_, err := w.executor.Do(t.Context(), w.seen, plan.IssueCertificate{Because: "it expires"})
	w.Expect(err).To(MatchError(HaveSuffix(
		"the Secret consul-ca-key is gone, and with it the certificate authority: restore it from a backup (it expires)")))
}

// The Secret that clients believe comes back as it was, from any of the others.
func TestTheAuthoritiesAreKept(t *testing.T) {
	w := certified(t)
	wanted := w.secret(t, "consul-ca-cert").Data
	w.Expect(w.client.Delete(t.Context(), w.secret(t, "consul-ca-cert"))).To(Succeed())
	w.carryOut(t, plan.Decision{})
	w.Expect(w.secret(t, "consul-ca-cert").Data).To(Equal(wanted))

	damaged := w.secret(t, "consul-ca-cert")
	damaged.Data = map[string][]byte{corev1.TLSCertKey: []byte("x")}
	w.Expect(w.client.Update(t.Context(), damaged)).To(Succeed())
	w.carryOut(t, plan.Decision{})
	w.Expect(w.secret(t, "consul-ca-cert").Data).To(Equal(wanted))

	w.seen.Authorities = nil
	_, failures, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
	w.Expect(err).To(MatchError(execute.ErrStale), "they are there, and were not seen")
	w.Expect(failures).To(BeEmpty())
	for _, name := range []string{"consul-ca-cert", "consul-ca-key", "consul-server-cert"} {
		w.Expect(w.client.Delete(t.Context(), w.secret(t, name))).To(Succeed())
	}
	_, failures, err = w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(failures).To(ConsistOf(HaveField("Message", ContainSubstring("restore one of them from a backup"))))

	restored := resources.AuthoritiesSecret(w.seen.Cluster, wanted[corev1.TLSCertKey])
	restored.Labels, restored.OwnerReferences = nil, nil
	w.Expect(w.client.Create(t.Context(), restored)).To(Succeed())
	w.seen.Failures = nil
	_, failures, err = w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(failures).To(ConsistOf(HaveField("Message", ContainSubstring("restore it with its ownerReferences"))))
	restored.OwnerReferences = resources.AuthoritiesSecret(w.seen.Cluster, nil).OwnerReferences
	w.Expect(w.client.Update(t.Context(), restored)).To(Succeed())
	w.seen.Failures = nil
	_, failures, err = w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
	w.Expect(err).To(MatchError(execute.ErrStale))
	w.Expect(failures).To(BeEmpty())
	w.Expect(w.secret(t, "consul-ca-cert").Labels).To(HaveKey(v1alpha1.LabelCluster), "it is seen from now on")
}

// A certificate that servers would not believe is not written: the one they have is still good.
func TestAnAuthorityThatIsNotBelieved(t *testing.T) {
	for what, change := range map[string]func(t *testing.T, w *world){
		"another one was restored": func(t *testing.T, w *world) {
			pair, err := pki.NewAuthority("another", time.Now())
			w.Expect(err).NotTo(HaveOccurred())
			secret := w.secret(t, "consul-ca-key")
			secret.Data = resources.AuthoritySecret(w.seen.Cluster, pair).Data
			w.Expect(w.client.Update(t.Context(), secret)).To(Succeed())
		},
		"it has expired": func(_ *testing.T, w *world) {
			w.executor.Now = func() time.Time { return time.Now().Add(6 * 365 * 24 * time.Hour) }
		},
		"nobody is believed": func(_ *testing.T, w *world) { w.seen.Authorities = nil },
	} {
		t.Run(what, func(t *testing.T) {
			w := certified(t)
			before := w.certificate(t)
			change(t, w)
			_, err := w.executor.Do(t.Context(), w.seen, plan.IssueCertificate{Because: "it expires"})
			w.Expect(err).To(MatchError(pki.ErrUnproven))
			w.Expect(w.certificate(t)).To(Equal(before))
		})
	}
}

// presenter is an agent that presents what its file has when it reads it.
type presenter struct {
	consul.Agent
	file, presents string
	refuses        error
}

func (p *presenter) Reload(context.Context) error { p.presents = p.file; return p.refuses }
func (p *presenter) Self(context.Context) (consul.Self, error) {
	return consul.Self{Certificate: p.presents}, nil
}

func TestACertificateIsRead(t *testing.T) {
	w := certified(t)
	agent := &presenter{file: "new"}
	w.executor.Dial = func(consul.Target) consul.Agent { return agent }
	w.seen.Spec.TLS.Certificate.Fingerprint = "new"
	w.Expect(w.do(t, plan.ReadCertificate{Server: "consul-1"}).Event).To(
		Equal("consul-1 presents the new certificate, without a restart"))
	agent.file = "former"
	_, err := w.executor.Do(t.Context(), w.seen, plan.ReadCertificate{Server: "consul-1"})
	w.Expect(err).To(MatchError(ContainSubstring("the kubelet has not written its certificate yet")))
	agent.refuses = consul.ErrForbidden
	_, err = w.executor.Do(t.Context(), w.seen, plan.ReadCertificate{Server: "consul-1"})
	w.Expect(err).To(MatchError(consul.ErrForbidden))
}
