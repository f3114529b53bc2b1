package resources_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// What users provide is taken only if Consul can use it. Errors do not repeat it.
func TestWhatUsersProvide(t *testing.T) {
	authority, err := pki.NewAuthority("theirs", noon)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	other, err := pki.NewAuthority("another", noon)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	leaf, err := pki.Issue(authority, []string{"server.dc1.consul"}, noon)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	const token = "f0f0f0f0-0000-4000-8000-000000000000"
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	pair := func(certificate, key []byte) map[string][]byte {
		return map[string][]byte{"tls.crt": certificate, "tls.key": key}
	}
	one := func(key, value string) map[string][]byte { return map[string][]byte{key: []byte(value)} }
	gossip := func(named string) func(*corev1.Secret) error {
		return func(secret *corev1.Secret) error {
			_, err := resources.UserGossipKey(secret, named)
			return err
		}
	}
	management := func(named string) func(*corev1.Secret) error {
		return func(secret *corev1.Secret) error {
			_, err := resources.UserToken(secret, named)
			return err
		}
	}
	certifies := func(secret *corev1.Secret) error {
		_, _, err := resources.UserCertificate(secret, plain(), noon)
		return err
	}
	from := func(ca []byte, data map[string][]byte) map[string][]byte {
		data["ca.crt"] = ca
		return data
	}
	issues := func(now time.Time) func(*corev1.Secret) error {
		return func(secret *corev1.Secret) error {
			_, err := resources.UserAuthority(secret, plain(), now)
			return err
		}
	}
	for name, test := range map[string]struct {
		take func(*corev1.Secret) error
		data map[string][]byte
		says string // empty if it is taken
	}{
		"a key":                   {gossip(""), one("key", key+"\n"), ""},
		"a key elsewhere":         {gossip("other"), one("other", key), ""},
		"no key":                  {gossip(""), nil, "the Secret mine has no key key"},
		"an empty one":            {gossip("other"), one("other", "\n"), "the Secret mine has no key other"},
		"a key of another length": {gossip(""), one("key", base64.StdEncoding.EncodeToString([]byte("too short"))), "is no gossip key"},
		"a password":              {gossip(""), one("key", "hunter2"), "key in the Secret mine is no gossip key"},
		"a token":                 {management(""), one("token", token+"\n"), ""},
		"a token in braces":       {management(""), one("token", "{"+token+"}"), "token in the Secret mine is no UUID"},
		"no token":                {management(""), one("key", token), "the Secret mine has no key token"},
		"an authority":            {issues(noon), pair(authority.Certificate, authority.Key), ""},
		"a server's certificate":  {issues(noon), pair(leaf.Certificate, leaf.Key), "is not that of an authority"},
		"a certificate":           {certifies, from(authority.Certificate, pair(leaf.Certificate, leaf.Key)), ""},
		"a certificate alone":     {certifies, pair(leaf.Certificate, leaf.Key), "the Secret mine has no key ca.crt"},
		"of another authority": {
			certifies, from(other.Certificate, pair(leaf.Certificate, leaf.Key)),
			"which has to be for server.dc1.consul, for servers and clients",
		},
		"another one's key":  {issues(noon), pair(authority.Certificate, other.Key), "the key is not that of the certificate"},
		"no authority's key": {issues(noon), pair(authority.Certificate, nil), "the Secret mine has no key tls.key"},
		"a key that is none": {issues(noon), pair(authority.Certificate, []byte("hunter2")), "there is no key in PEM"},
		"an authority of the past": {
			issues(noon.Add(6 * 365 * 24 * time.Hour)), pair(authority.Certificate, authority.Key), "it has expired at 20",
		},
		"an authority that ends soon": {
			issues(noon.Add(5*365*24*time.Hour - time.Hour)), pair(authority.Certificate, authority.Key), "it ends at 20",
		},
		"an authority of the future": {
			issues(noon.Add(-2 * time.Hour)), pair(authority.Certificate, authority.Key), "it is not valid before 20",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			err := test.take(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "mine"}, Data: test.data})
			if test.says == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(test.says)))
			for _, secret := range []string{token, "hunter2", key} {
				g.Expect(err.Error()).NotTo(ContainSubstring(secret))
			}
		})
	}
}

// An authority with name constraints would be introduced, and could then issue nothing.
func TestAnAuthorityThatIsKeptFromTheNamesOfServers(t *testing.T) {
	g := NewWithT(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "theirs"}, NotBefore: noon, NotAfter: noon.Add(72 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"example.com"},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	g.Expect(err).NotTo(HaveOccurred())
	text, err := x509.MarshalECPrivateKey(key)
	g.Expect(err).NotTo(HaveOccurred())
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "mine"}, Data: map[string][]byte{
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text}),
	}}
	_, err = resources.UserAuthority(secret, plain(), noon)
	g.Expect(err).To(MatchError(ContainSubstring("the Secret mine holds no certificate authority that can issue")))
}
