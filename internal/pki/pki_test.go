package pki_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/internal/pki"
)

var (
	noon  = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	names = []string{"server.dc1.consul", "consul.default.svc", "127.0.0.1"}
)

func parse(g Gomega, text []byte) *x509.Certificate {
	block, _ := pem.Decode(text)
	g.Expect(block).NotTo(BeNil())
	certificate, err := x509.ParseCertificate(block.Bytes)
	g.Expect(err).NotTo(HaveOccurred())
	return certificate
}

func TestAServerProvesWhoItIs(t *testing.T) {
	g := NewWithT(t)
	authority, err := pki.NewAuthority("Consul default/consul", noon)
	g.Expect(err).NotTo(HaveOccurred())
	server, err := pki.Issue(authority, names, noon)
	g.Expect(err).NotTo(HaveOccurred())
	another, err := pki.NewAuthority("Consul default/consul", noon)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = tls.X509KeyPair(server.Certificate, server.Key)
	g.Expect(err).NotTo(HaveOccurred())

	presented := []*x509.Certificate{parse(g, server.Certificate)}
	ours, theirs := pki.Roots(authority.Certificate), pki.Roots(another.Certificate)
	both := pki.Roots(append(append([]byte{}, another.Certificate...), authority.Certificate...))
	for _, name := range names {
		g.Expect(pki.Verify(presented, ours, name)).To(Succeed(), name)
	}
	g.Expect(pki.Verify(presented, both, names[0])).To(Succeed())
	g.Expect(pki.Verify(presented, theirs, names[0])).NotTo(Succeed(), "of another authority")
	g.Expect(pki.Verify(presented, ours, "server.dc2.consul")).NotTo(Succeed(), "of another name")
	g.Expect(pki.Verify(nil, ours, names[0])).NotTo(Succeed())
	itself := []*x509.Certificate{parse(g, authority.Certificate)}
	g.Expect(pki.Verify(itself, ours, names[0])).NotTo(Succeed(), "the authority")
	client := presented[0]
	g.Expect(client.ExtKeyUsage).To(ConsistOf(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth), "servers call each other")
}

// An authority that openssl or cert-manager has made issues certificates as well, whatever the kind of its key, and as soon
// as it is valid.
func TestAnAuthorityOfSomebodyElse(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	ecText, err := x509.MarshalECPrivateKey(ecKey)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	edText, err := x509.MarshalPKCS8PrivateKey(edKey)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for name, test := range map[string]struct {
		key  crypto.Signer
		text []byte
	}{
		"RSA": {rsaKey, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})},
		"EC": {ecKey, append(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{5}}),
			pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecText})...)},
		"Ed25519": {edKey, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: edText})},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			template := &x509.Certificate{
				SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "theirs"}, NotBefore: noon, NotAfter: noon.Add(48 * time.Hour),
				IsCA: true, BasicConstraintsValid: true,
			}
			raw, err := x509.CreateCertificate(rand.Reader, template, template, test.key.Public(), test.key)
			g.Expect(err).NotTo(HaveOccurred())
			one := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
			theirs := pki.Pair{Certificate: append(append([]byte{}, one...), one...), Key: test.text} // with its chain
			now := noon.Add(time.Minute)
			authority, err := pki.TakeAuthority(theirs, now)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(authority.Certificate).To(Equal(one))
			server, err := pki.Issue(authority, names, now)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(server.Check(authority.Certificate, now)).To(Succeed())
			presented := []*x509.Certificate{parse(g, server.Certificate)}
			g.Expect(pki.Verify(presented, pki.Roots(authority.Certificate), names[0])).To(Succeed())
			g.Expect(presented[0].NotAfter).To(BeTemporally("==", noon.Add(48*time.Hour)))
		})
	}
}

// Servers call each other: an authority for one side alone is of no use.
func TestAnAuthorityForServersAlone(t *testing.T) {
	g := NewWithT(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: noon, NotAfter: noon.Add(48 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	g.Expect(err).NotTo(HaveOccurred())
	text, err := x509.MarshalECPrivateKey(key)
	g.Expect(err).NotTo(HaveOccurred())
	authority := pki.Pair{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text}),
	}
	server, err := pki.Issue(authority, names, noon)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(server.Check(authority.Certificate, noon)).NotTo(Succeed())
}

// A certificate is worth issuing only if others believe it at that time.
func TestCheck(t *testing.T) {
	g := NewWithT(t)
	authority, err := pki.NewAuthority("x", noon)
	g.Expect(err).NotTo(HaveOccurred())
	another, err := pki.NewAuthority("x", noon)
	g.Expect(err).NotTo(HaveOccurred())
	server, err := pki.Issue(authority, names, noon)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(server.Check(authority.Certificate, noon)).To(Succeed())
	g.Expect(server.Check(another.Certificate, noon)).To(MatchError(pki.ErrUnproven))
	g.Expect(server.Check(nil, noon)).To(MatchError(pki.ErrUnproven))
	g.Expect(pki.Pair{}.Check(authority.Certificate, noon)).NotTo(Succeed())
	later := noon.Add(6 * 365 * 24 * time.Hour)
	late, err := pki.Issue(authority, names, later)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(late.Check(authority.Certificate, later)).To(MatchError(pki.ErrUnproven), "of an authority that has expired")
}

func TestInspect(t *testing.T) {
	g := NewWithT(t)
	authority, err := pki.NewAuthority("x", noon)
	g.Expect(err).NotTo(HaveOccurred())
	server, err := pki.Issue(authority, names, noon)
	g.Expect(err).NotTo(HaveOccurred())
	facts, err := pki.Inspect(server.Certificate, authority.Certificate)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(facts).To(Equal(pki.Facts{
		Subject: "server.dc1.consul", Fingerprint: pki.Fingerprint(parse(g, server.Certificate)),
		From: noon.Add(-time.Hour), Until: noon.Add(90 * 24 * time.Hour),
		Names: []string{"127.0.0.1", "consul.default.svc", "server.dc1.consul"},
	}))
	another, err := pki.NewAuthority("x", noon)
	g.Expect(err).NotTo(HaveOccurred())
	for name, text := range map[string][]byte{"nothing": nil, "no PEM": []byte("x"), "a key": server.Key} {
		_, err := pki.Inspect(text, authority.Certificate)
		g.Expect(err).To(HaveOccurred(), name)
	}
	_, err = pki.Inspect(server.Certificate, another.Certificate)
	g.Expect(err).To(HaveOccurred())
}

func TestAnAuthorityThatCannotBeUsed(t *testing.T) {
	g := NewWithT(t)
	authority, err := pki.NewAuthority("x", noon)
	g.Expect(err).NotTo(HaveOccurred())
	another, err := pki.NewAuthority("x", noon)
	g.Expect(err).NotTo(HaveOccurred())
	damaged := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})
	for name, broken := range map[string]pki.Pair{
		"nothing":        {},
		"no key":         {Certificate: authority.Certificate},
		"another's key":  {Certificate: authority.Certificate, Key: another.Key},
		"no certificate": {Key: authority.Key},
		"damaged":        {Certificate: authority.Certificate, Key: damaged},
	} {
		_, err := pki.Issue(broken, names, noon)
		g.Expect(err).To(MatchError(ContainSubstring("the certificate authority cannot be used")), name)
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	g := NewWithT(t)
	authority, err := pki.NewAuthority("x", noon)
	g.Expect(err).NotTo(HaveOccurred())
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		g.Expect(fmt.Sprintf(format, authority)).To(Equal("a certificate and its key"))
	}
}

// A certificate ends with its authority, and proves who a server is whatever the time.
func TestTheEndOfAnAuthority(t *testing.T) {
	g := NewWithT(t)
	authority, err := pki.NewAuthority("Consul default/consul", noon)
	g.Expect(err).NotTo(HaveOccurred())
	_, end, err := pki.Validity(authority.Certificate)
	g.Expect(err).NotTo(HaveOccurred())
	last, err := pki.Issue(authority, names, end.Add(-24*time.Hour))
	g.Expect(err).NotTo(HaveOccurred())
	_, until, err := pki.Validity(last.Certificate)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(until).To(Equal(end))
	g.Expect(last.Check(authority.Certificate, end)).To(Succeed())
	g.Expect(last.Check(authority.Certificate, end.Add(time.Second))).NotTo(Succeed(), "for everybody else it is over")
	g.Expect(pki.Verify([]*x509.Certificate{parse(g, last.Certificate)}, pki.Roots(authority.Certificate), names[0])).To(Succeed())
}
