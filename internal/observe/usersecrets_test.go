package observe_test

import (
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

// What a user provides has to be there, and to be what it should be. Otherwise the spec cannot be honored, and nothing is
// changed.
func TestWhatAUserProvides(t *testing.T) {
	authority, err := pki.NewAuthority("mine", now)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	server, err := pki.Issue(authority, []string{"server..consul"}, now)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	keys := resources.NewGossipKeys()
	for field, test := range map[string]struct {
		refer       func(c *v1alpha1.ConsulCluster)
		holds       map[string][]byte
		has         func(w *world) // the cluster has another one
		replacement func(spec plan.Spec) plan.Replacement
	}{
		"spec.acls.managementTokenSecretRef": {
			func(c *v1alpha1.ConsulCluster) {
				c.Spec.ACLs.ManagementTokenSecretRef = &v1alpha1.SecretKey{Name: "mine"}
			},
			map[string][]byte{"token": []byte("f0f0f0f0-0000-4000-8000-000000000000")},
			func(w *world) { w.grant(v1alpha1.ACLsDeny) },
			func(spec plan.Spec) plan.Replacement { return spec.ACLs.Rotation.Replacement },
		},
		"spec.gossipEncryption.secretRef": {
			func(c *v1alpha1.ConsulCluster) {
				c.Spec.GossipEncryption.SecretRef = &v1alpha1.SecretKey{Name: "mine", Key: "theirs"}
			},
			map[string][]byte{"theirs": []byte(keys.New())},
			func(w *world) {
				w.inPhase(v1alpha1.GossipRequired)
				w.others = append(w.others, resources.GossipSecret(w.cluster, resources.NewGossipKeys()))
			},
			func(spec plan.Spec) plan.Replacement { return spec.Gossip.Rotation.Replacement },
		},
		"spec.tls.caSecretRef": {
			func(c *v1alpha1.ConsulCluster) { c.Spec.TLS.CASecretRef = &v1alpha1.SecretName{Name: "mine"} },
			map[string][]byte{"tls.crt": authority.Certificate, "tls.key": authority.Key},
			func(w *world) {
				authority, authorities, certificate := w.certify()
				w.others = append(w.others, authority, authorities, certificate)
			},
			func(spec plan.Spec) plan.Replacement { return spec.TLS.Authority.Replacement },
		},
		"spec.tls.certSecretRef": {
			func(c *v1alpha1.ConsulCluster) { c.Spec.TLS.CertSecretRef = &v1alpha1.SecretName{Name: "mine"} },
			map[string][]byte{"tls.crt": server.Certificate, "tls.key": server.Key, "ca.crt": authority.Certificate},
			func(w *world) {
				authority, authorities, certificate := w.certify()
				w.others = append(w.others, authority, authorities, certificate)
			},
			func(spec plan.Spec) plan.Replacement { return spec.TLS.Authority.Replacement },
		},
	} {
		t.Run(field, func(t *testing.T) {
			w := newWorld(t)
			mine := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "mine", Namespace: w.cluster.Namespace}}
			test.refer(w.cluster)
			test.has(w)
			w.Expect(w.look().Spec.Unusable).To(HaveField("Message", field+": the Secret mine does not exist"))
			w.Expect(w.look().Spec.Invalid).To(BeNil(), "a running cluster goes on")
			w.others = append(w.others, mine)
			w.Expect(w.look().Spec.Unusable).To(HaveField("Message", HavePrefix(field+": the Secret mine has no key ")))
			w.Expect(test.replacement(w.look().Spec)).To(And(HaveField("FromSecret", "mine"), HaveField("Differs", false)),
				"what cannot be read is not another one")
			mine.Data = test.holds
			w.Expect(w.look().Spec.Unusable).To(BeNil())
			w.Expect(test.replacement(w.look().Spec)).To(And(HaveField("FromSecret", "mine"), HaveField("Differs", true)))
		})
	}
}

// A new cluster waits for what a user provides.
func TestANewClusterWaitsForWhatAUserProvides(t *testing.T) {
	w := newWorld(t)
	w.claims, w.pods, w.cluster.Annotations = nil, nil, nil
	w.cluster.Spec.GossipEncryption.SecretRef = &v1alpha1.SecretKey{Name: "mine"}
	w.Expect(w.look().Spec.Invalid).To(HaveField("Message", "spec.gossipEncryption.secretRef: the Secret mine does not exist"))
}

// A Secret for something that is off is not needed.
func TestASecretThatNobodyNeeds(t *testing.T) {
	w := newWorld(t)
	w.claims, w.pods, w.cluster.Annotations = nil, nil, nil
	w.cluster.Spec.GossipEncryption = v1alpha1.GossipEncryption{Enabled: new(false), SecretRef: &v1alpha1.SecretKey{Name: "mine"}}
	w.cluster.Spec.TLS = v1alpha1.TLS{Enabled: new(false), CASecretRef: &v1alpha1.SecretName{Name: "mine"}}
	w.cluster.Spec.ACLs = v1alpha1.ACLs{Enabled: new(false), ManagementTokenSecretRef: &v1alpha1.SecretKey{Name: "mine"}}
	s := w.look()
	w.Expect(s.Spec.Invalid).To(BeNil())
	w.Expect(s.Spec.ReadsSecrets).To(BeFalse())
}

// The age at which the operator replaces what it has made is the spec's.
func TestHowOldKeysAndTokensGet(t *testing.T) {
	every := &metav1.Duration{Duration: 48 * time.Hour}
	w := newWorld(t)
	w.inPhase(v1alpha1.GossipRequired)
	w.others = append(w.others, resources.GossipSecret(w.cluster, resources.NewGossipKeys()))
	w.Expect(w.look().Spec.Gossip.Rotation.Replacement.Every).To(BeZero())
	w.cluster.Spec.GossipEncryption.RotateEvery = every
	w.Expect(w.look().Spec.Gossip.Rotation.Replacement.Every).To(Equal(every.Duration))

	w = newWorld(t)
	w.grant(v1alpha1.ACLsDeny)
	w.Expect(w.look().Spec.ACLs.Rotation.Replacement.Every).To(BeZero())
	w.cluster.Spec.ACLs.RotateEvery = every
	w.Expect(w.look().Spec.ACLs.Rotation.Replacement.Every).To(Equal(every.Duration))
}
