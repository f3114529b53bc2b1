package pki_test

import (
	"bytes"
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
		Subject: "server.dc1.consul", Fingerprint: pki.Fingerprint([]*x509.Certificate{parse(g, server.Certificate)}),
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

// child issues a certificate, of a server or of an authority between, as Vault does: valid from before it was issued.
func child(t *testing.T, issuer pki.Pair, template x509.Certificate) pki.Pair {
	t.Helper()
	g := NewWithT(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), noon.Add(-2*time.Hour), noon.Add(72*time.Hour)
	signer := tls.Certificate{Leaf: &template, PrivateKey: key} // itself
	if issuer.Key != nil {
		signer, err = tls.X509KeyPair(issuer.Certificate, issuer.Key)
		g.Expect(err).NotTo(HaveOccurred())
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, signer.Leaf, key.Public(), signer.PrivateKey)
	g.Expect(err).NotTo(HaveOccurred())
	text, err := x509.MarshalECPrivateKey(key)
	g.Expect(err).NotTo(HaveOccurred())
	return pki.Pair{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text}),
	}
}

// A certificate of somebody else is taken if those who believe what comes with it would believe it, by authorities between as
// well, and although the authority is younger than what it has issued says.
func TestACertificateOfSomebodyElse(t *testing.T) {
	authority, err := pki.NewAuthority("root", noon)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	root := x509.Certificate{Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true}
	other := child(t, pki.Pair{}, root)
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	server := x509.Certificate{DNSNames: names[:2], ExtKeyUsage: both}
	direct := child(t, authority, server)
	between := child(t, other, x509.Certificate{
		Subject: pkix.Name{CommonName: "between"}, IsCA: true, BasicConstraintsValid: true,
	})
	deep := child(t, between, server)
	itself := child(t, pki.Pair{}, server)
	chained := pki.Pair{Certificate: pki.Join(deep.Certificate, between.Certificate), Key: deep.Key}
	for name, test := range map[string]struct {
		pair        pki.Pair
		authorities []byte
		says        string // empty if it is taken
	}{
		"of the authority":          {direct, authority.Certificate, ""},
		"of one of two":             {direct, pki.Join(other.Certificate, authority.Certificate), ""},
		"by an authority between":   {chained, other.Certificate, ""},
		"of the one between":        {chained, between.Certificate, ""},
		"whose authority is absent": {deep, other.Certificate, "unknown authority"},
		"of another authority":      {direct, other.Certificate, "unknown authority"},
		"no authority":              {direct, []byte("x"), "there is no certificate of an authority in PEM"},
		"with another key":          {pki.Pair{Certificate: direct.Certificate, Key: deep.Key}, authority.Certificate, "the key is"},
		"of itself":                 {itself, itself.Certificate, "a certificate that is not that of an authority"},
		"of itself, an authority":   {other, other.Certificate, "it is its own authority"},
		"beside another server's": {
			direct, pki.Join(authority.Certificate, itself.Certificate), "a certificate that is not that of an authority",
		},
		"for servers alone": {
			child(t, authority, x509.Certificate{DNSNames: names[:1], ExtKeyUsage: both[:1]}), authority.Certificate, "usage",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			with := test.pair // some write the root behind it as well
			with.Certificate = pki.Join(with.Certificate, other.Certificate)
			taken, by, err := pki.Take(with, test.authorities, noon)
			if test.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(test.says)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(taken.Certificate).To(Equal(test.pair.Certificate))
			g.Expect(pki.Same(by, test.authorities) || pki.Believes(by, test.authorities)).To(BeTrue())
			g.Expect(taken.Check(by, noon)).To(Succeed())
			presented, err := tls.X509KeyPair(taken.Certificate, taken.Key)
			g.Expect(err).NotTo(HaveOccurred())
			facts, err := pki.Inspect(taken.Certificate, by)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(facts.Names).To(ConsistOf(names[0], names[1]))
			g.Expect(presented.Certificate).To(HaveLen(bytes.Count(test.pair.Certificate, []byte("BEGIN"))))
		})
	}
	_, _, err = pki.Take(direct, authority.Certificate, noon.Add(73*time.Hour))
	NewWithT(t).Expect(err).To(MatchError(pki.ErrUnproven), "it has expired")
}

// Servers present all authorities that come with a certificate.
func TestACertificateWithTooManyAuthorities(t *testing.T) {
	g := NewWithT(t)
	authority, err := pki.NewAuthority("theirs", noon)
	g.Expect(err).NotTo(HaveOccurred())
	server, err := pki.Issue(authority, names, noon)
	g.Expect(err).NotTo(HaveOccurred())
	all := authority.Certificate
	for n := 1; n <= 10; n++ {
		_, by, err := pki.Take(server, all, noon)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(pki.Issuers(server.Certificate, by)).To(Equal(authority.Certificate))
		another, err := pki.NewAuthority("another", noon)
		g.Expect(err).NotTo(HaveOccurred())
		all = pki.Join(all, another.Certificate)
	}
	_, _, err = pki.Take(server, all, noon)
	g.Expect(err).To(MatchError(ContainSubstring("11 authorities")))
}

// A certificate that an authority of the same name has signed is not its own: it leads from one to the other.
func TestAnAuthorityThatAnotherOneOfItsNameHasSigned(t *testing.T) {
	g := NewWithT(t)
	template := x509.Certificate{Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true}
	former := child(t, pki.Pair{}, template)
	cross := child(t, former, template)
	server := child(t, cross, x509.Certificate{DNSNames: names[:1], ExtKeyUsage: []x509.ExtKeyUsage{
		x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth,
	}})
	server.Certificate = pki.Join(server.Certificate, cross.Certificate)
	taken, by, err := pki.Take(server, former.Certificate, noon)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(taken.Check(by, noon)).To(Succeed())
}

// The order of authorities means nothing, and what is presented with a certificate is a part of what identifies it.
func TestAuthoritiesThatArePresented(t *testing.T) {
	g := NewWithT(t)
	one, err := pki.NewAuthority("one", noon)
	g.Expect(err).NotTo(HaveOccurred())
	two, err := pki.NewAuthority("two", noon)
	g.Expect(err).NotTo(HaveOccurred())
	server := child(t, one, x509.Certificate{DNSNames: names[:1], ExtKeyUsage: []x509.ExtKeyUsage{
		x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth,
	}})
	_, by, err := pki.Take(server, pki.Join(one.Certificate, two.Certificate), noon)
	g.Expect(err).NotTo(HaveOccurred())
	_, again, err := pki.Take(server, pki.Join(two.Certificate, pki.Join(one.Certificate, two.Certificate)), noon)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(pki.Same(by, again)).To(BeTrue())
	g.Expect(pki.Believes(by, one.Certificate)).To(BeTrue())
	g.Expect(pki.Believes(one.Certificate, by)).To(BeFalse())
	g.Expect(pki.Believes(by, nil)).To(BeFalse())
	alone, err := pki.Inspect(server.Certificate, by)
	g.Expect(err).NotTo(HaveOccurred())
	with, err := pki.Inspect(pki.Join(server.Certificate, by), by)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(with.Fingerprint).NotTo(Equal(alone.Fingerprint))
	with.Fingerprint = alone.Fingerprint
	g.Expect(with).To(Equal(alone))
}
