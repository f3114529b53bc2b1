package integration

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// Servers prove who they are to clients that verify it, from the beginning and through an upgrade, and get another
// certificate without a restart. Then the HTTP port is opened, in a rolling update.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "certified", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.MaxSurge = 3
	})
	s.expectHTTP(false)
	s.expectName(resources.TLSServerName(s.cluster()))
	s.patch(toVersion(newest))
	s.reach("upgraded", 3*time.Minute)

	before := s.processes()
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.TLS.AdditionalDNSNames = []string{"consul.example.com"} })
	s.until("the certificate is being replaced", func(c *v1alpha1.ConsulCluster) bool {
		return reasonOf(c, v1alpha1.ConditionReady) == string(reason.RenewingCertificate)
	})
	s.reach("certified again", time.Minute)
	s.expectName("consul.example.com")

	former := s.authorities()
	theirs := s.bringAuthority()
	s.patch(func(c *v1alpha1.ConsulCluster) {
		c.Spec.TLS.CASecretRef = &v1alpha1.SecretName{Name: theirs.Name}
		c.Spec.TLS.CAGracePeriod = &metav1.Duration{Duration: time.Second}
	})
	s.followAuthorities(former)
	s.reach("with an authority of a user", time.Minute)
	s.Expect(pki.Same(s.authorities(), theirs.Data[corev1.TLSCertKey])).To(BeTrue())
	s.expectName("consul.example.com")
	s.Expect(s.processes()).To(Equal(before), "no server was replaced, or started again")
	s.end(1)

	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.TLS.HTTPSOnly = new(false) })
	s.reach("open", 3*time.Minute)
	s.expectHTTP(true)
}

// followAuthorities has clients believe both authorities during a rotation, and waits until the former one is forgotten.
func (s *story) followAuthorities(former []byte) {
	s.t.Helper()
	s.Eventually(func() bool { return pki.Same(s.authorities(), former) }, time.Minute, 50*time.Millisecond).Should(BeFalse())
	both := s.authorities()
	s.Expect(pki.Believes(both, former)).To(BeTrue(), "clients believe servers that have a former certificate")
	s.Expect(s.Believe(s.t.Context())).To(Succeed())
	s.Eventually(func() bool { return pki.Believes(s.authorities(), former) }, 2*time.Minute, 100*time.Millisecond).Should(BeFalse())
}

// bringAuthority creates a Secret with a certificate authority, as cert-manager makes it by default: its key is an RSA key.
func (s *story) bringAuthority() *corev1.Secret {
	s.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	s.Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "theirs"},
		IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now(), NotAfter: time.Now().Add(90 * 24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	s.Expect(err).NotTo(HaveOccurred())
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Key.Namespace, Name: s.Key.Name + "-theirs"}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
			corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
		},
	}
	s.Expect(s.Client.Create(s.t.Context(), secret)).To(Succeed())
	return secret
}

// A cluster that runs gets TLS, phase by phase: its servers go on calling each other while some have certificates and some do
// not. HTTP stays open for clients that have not been moved.
func TestTLSOfARunningCluster(t *testing.T) {
	long(t)
	s := begin(t, shared, "certified-later", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.MaxSurge, spec.TLS.Enabled = 3, new(false)
	})
	s.expectPlainRPC(true)
	s.Observer.AllowLeaderChanges(3)
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.TLS.Enabled = new(true) })
	for _, phase := range []v1alpha1.TLSPhase{v1alpha1.TLSAccepting, v1alpha1.TLSSending, v1alpha1.TLSRequired} {
		s.until("TLS is "+string(phase), func(c *v1alpha1.ConsulCluster) bool { return c.Status.TLS == phase })
	}
	s.reach("certified", 2*time.Minute)
	s.expectName(resources.TLSServerName(s.cluster()))
	s.expectPlainRPC(false)
	s.expectHTTP(true)

	s.Observer.AllowLeaderChanges(3) // from now on
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.TLS.Enabled = new(false) })
	for _, phase := range []v1alpha1.TLSPhase{v1alpha1.TLSSending, v1alpha1.TLSAccepting, v1alpha1.TLSOff} {
		s.until("TLS is "+string(phase), func(c *v1alpha1.ConsulCluster) bool { return c.Status.TLS == phase })
	}
	s.reach("without certificates", 2*time.Minute)
	s.expectPlainRPC(true)
	s.end(6)
}

// authorities are whom clients are told to believe.
func (s *story) authorities() []byte {
	s.t.Helper()
	return s.secret(resources.AuthoritiesSecretName(s.Key.Name)).Data[corev1.TLSCertKey]
}

// expectPlainRPC has each server take RPC without TLS, or end the connection.
func (s *story) expectPlainRPC(open bool) {
	s.t.Helper()
	const rpcConsul = 0x00 // the first byte of a connection says what follows
	for _, server := range s.cluster().Status.Servers {
		conn, err := net.Dial("tcp", net.JoinHostPort(server.Address, "8300"))
		s.Expect(err).NotTo(HaveOccurred(), server.Name)
		defer conn.Close()
		_, err = conn.Write([]byte{rpcConsul})
		s.Expect(err).NotTo(HaveOccurred(), server.Name)
		s.Expect(conn.SetReadDeadline(time.Now().Add(time.Second))).To(Succeed())
		_, err = conn.Read(make([]byte, 1))
		if open {
			s.Expect(err).To(MatchError(os.ErrDeadlineExceeded), "%s waits for a call", server.Name)
		} else {
			s.Expect(err).To(MatchError(io.EOF), server.Name)
		}
	}
}

// expectHTTP has each server serve HTTP at its address, or refuse it.
func (s *story) expectHTTP(open bool) {
	s.t.Helper()
	for _, server := range s.cluster().Status.Servers {
		response, err := http.Get("http://" + net.JoinHostPort(server.Address, "8500") + "/v1/status/leader")
		if !open {
			s.Expect(err).To(MatchError(ContainSubstring("connection refused")), server.Name)
			continue
		}
		s.Expect(err).NotTo(HaveOccurred(), server.Name)
		s.Expect(response.Body.Close()).To(Succeed())
	}
}

// expectName has each server present a certificate for a name, of the authority whose certificate clients find.
func (s *story) expectName(name string) {
	s.t.Helper()
	s.presented(name)
}

// presented are the certificates that servers present to those who ask for a name.
func (s *story) presented(name string) (all []string) {
	s.t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: name, RootCAs: pki.Roots(s.authorities()),
	}}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	for _, server := range s.cluster().Status.Servers {
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(server.Address, "8501"))
		s.Expect(err).NotTo(HaveOccurred(), server.Name)
		all = append(all, pki.Fingerprint(conn.(*tls.Conn).ConnectionState().PeerCertificates[:1]))
		s.Expect(conn.Close()).To(Succeed())
	}
	return all
}
