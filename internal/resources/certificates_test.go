package resources_test

import (
	"encoding/json"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// certified is a cluster whose servers have certificates.
func certified() *v1alpha1.ConsulCluster {
	c := plain()
	c.Annotations = map[string]string{
		v1alpha1.AnnotationTLS: string(v1alpha1.TLSRequired), v1alpha1.AnnotationRecordsOf: string(c.UID),
	}
	return c
}

func TestRenderedWithTLS(t *testing.T) { golden(t, "tls.yaml", rendered(t, certified())) }

// I6: what is recorded of TLS is part of the revision, what a certificate says is not.
func TestWhatOfTLSARevisionDependsOn(t *testing.T) {
	g := NewWithT(t)
	revision := resources.Revision(certified())
	g.Expect(revision).To(Equal("a0d8c53a5a"))
	g.Expect(revision).NotTo(Equal(resources.Revision(plain())))
	c := certified()
	c.Spec.TLS.AdditionalDNSNames = []string{"consul.example.com"}
	g.Expect(resources.Revision(c)).To(Equal(revision), "servers read a certificate again while they run")
	c.Spec.TLS.HTTPSOnly = new(false)
	g.Expect(resources.Revision(c)).NotTo(Equal(revision))
	asks := plain()
	asks.Spec.TLS.Enabled = new(true)
	g.Expect(resources.Revision(asks)).To(Equal(resources.Revision(plain())), "it is asked for, and not there yet")
}

func TestPortsWithTLS(t *testing.T) {
	g := NewWithT(t)
	names := func(c *v1alpha1.ConsulCluster) (all []string) {
		for _, port := range resources.ClientService(c).Spec.Ports {
			all = append(all, port.Name)
		}
		return all
	}
	c := certified()
	g.Expect(names(c)).To(Equal([]string{"https", "dns", "dns-udp", "grpc-tls"}))
	c.Spec.TLS.HTTPSOnly = new(false)
	g.Expect(names(c)).To(Equal([]string{"http", "https", "dns", "dns-udp", "grpc-tls"}))
	rules := resources.NetworkPolicy(c, operator).Spec.Ingress
	g.Expect(rules).To(HaveLen(3))
	g.Expect(rules[2].Ports).To(HaveLen(1))
	g.Expect(rules[2].Ports[0].Port.IntValue()).To(Equal(resources.PortHTTPS), "the operator calls no other port")
}

func TestNamesOfTheCertificate(t *testing.T) {
	g := NewWithT(t)
	c := certified()
	c.Spec.Config = config(t, map[string]any{"Domain": "example."})
	c.Spec.TLS.AdditionalDNSNames = []string{"consul.example.com", "localhost"}
	g.Expect(resources.TLSServerName(c)).To(Equal("server.dc1.example"))
	g.Expect(resources.CertificateNames(c, "server.dc1.example")).To(ContainElements(
		"server.dc1.example", "localhost", "127.0.0.1", "consul.default.svc", "consul-join.default.svc", "consul.example.com"))

	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	authority, err := resources.NewAuthority(c, now)
	g.Expect(err).NotTo(HaveOccurred())
	certificate, err := pki.Issue(authority, resources.CertificateNames(c, "server.dc1.example"), now)
	g.Expect(err).NotTo(HaveOccurred())
	facts, err := pki.Inspect(certificate.Certificate, authority.Certificate)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(resources.IsNamed(c, facts)).To(BeTrue())
	c.Spec.TLS.AdditionalDNSNames = c.Spec.TLS.AdditionalDNSNames[1:]
	g.Expect(resources.IsNamed(c, facts)).To(BeFalse())
}

// A user's volumes say nothing about the operator's certificates.
func TestPodsWithCertificates(t *testing.T) {
	g := NewWithT(t)
	for _, c := range []*v1alpha1.ConsulCluster{plain(), certified()} {
		secret, err := resources.RevisionSecret(c)
		g.Expect(err).NotTo(HaveOccurred())
		pod, err := resources.Pod(c, resources.Server{Name: "consul-0"}, secret)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(resources.PodHasTLS(pod)).To(Equal(resources.HasTLS(c)))
		pod.Spec.Volumes = resources.VolumesThatTell(pod)
		g.Expect(resources.PodHasTLS(pod)).To(Equal(resources.HasTLS(c)), "as the cache has it")
	}
	g.Expect(resources.ReservedVolume(plain(), "operator-tls")).To(BeTrue())
}

// Each Secret says whom to believe, also one that was restored without its labels.
func TestAuthorities(t *testing.T) {
	pair := pki.Pair{Certificate: []byte("authority")}
	for _, secret := range []*corev1.Secret{
		resources.AuthoritySecret(plain(), pair), resources.AuthoritiesSecret(plain(), pair.Certificate),
		resources.CertificateSecret(plain(), pki.Pair{Certificate: []byte("server")}, pair.Certificate, time.Now()),
	} {
		secret.Labels = nil
		NewWithT(t).Expect(string(resources.Authorities(secret))).To(Equal("authority"), secret.Name)
	}
}

// A cache keeps what is public, and no key.
func TestWhatIsPublic(t *testing.T) {
	g := NewWithT(t)
	pair := pki.Pair{Certificate: []byte("c"), Key: []byte("secret")}
	for _, secret := range []*corev1.Secret{
		resources.AuthoritySecret(plain(), pair), resources.AuthoritiesSecret(plain(), pair.Certificate),
		resources.CertificateSecret(plain(), pair, []byte("a"), time.Now()),
	} {
		public := resources.Public(secret)
		g.Expect(public).NotTo(BeEmpty())
		g.Expect(json.Marshal(public)).NotTo(ContainSubstring("c2VjcmV0"))
	}
	g.Expect(resources.Public(resources.GossipSecret(plain(), resources.NewGossipKeys()))).To(BeNil())
}

// What spec.tls says, spec.config does not say again.
func TestTLSInConfig(t *testing.T) {
	for written, values := range map[string]map[string]any{
		"TLS":         {"TLS": map[string]any{"defaults": map[string]any{"verify_outgoing": false}}},
		"ports.HTTPS": {"ports": map[string]any{"HTTPS": 8443}},
		"ca_file":     {"ca_file": "/x"},
	} {
		t.Run(written, func(t *testing.T) {
			g := NewWithT(t)
			c := plain()
			c.Spec.Config = config(t, values)
			g.Expect(resources.CheckConfig(c)).To(Succeed(), "without spec.tls it is the user's")
			asks, has := c.DeepCopy(), certified()
			asks.Spec.TLS.Enabled, has.Spec.Config = new(true), c.Spec.Config
			for _, c := range []*v1alpha1.ConsulCluster{asks, has} {
				g.Expect(resources.CheckConfig(c)).To(MatchError(
					"spec.config." + written + ": remove it, since spec.tls configures certificates"))
			}
		})
	}
}
