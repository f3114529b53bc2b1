// Package pki makes and judges the certificates of a cluster: an authority of its own, and one certificate that its servers
// share. It is pure: it reads no clock and no file.
package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

const (
	// authorityLasts and certificateLasts are for how long they are valid.
	authorityLasts   = 5 * 365 * 24 * time.Hour
	certificateLasts = 90 * 24 * time.Hour
	// clocksDiffer is how far the clock of a server may be behind.
	clocksDiffer = time.Hour

	// mostAuthorities is how many may come with a certificate. Servers present them, twice as many for a while, and TLS libraries
	// refuse more than 100 KiB.
	mostAuthorities = 10

	typeCertificate = "CERTIFICATE"
	typeKey         = "PRIVATE KEY"
)

// Pair is a certificate and its key, in PEM. The key is secret.
type Pair struct{ Certificate, Key []byte }

// String does not print the key.
func (p Pair) String() string { return "a certificate and its key" }

// GoString does not either.
func (p Pair) GoString() string { return p.String() }

// NewAuthority returns an authority that signs itself, for five years.
func NewAuthority(name string, now time.Time) (Pair, error) {
	key, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-clocksDiffer), NotAfter: now.Add(authorityLasts),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return sign(template, template, key, key)
}

// Issue returns a certificate for servers with these names, for 90 days. A server presents it to clients, and to other servers.
func Issue(authority Pair, names []string, now time.Time) (Pair, error) {
	issuer, issuerKey, err := authority.parse()
	if err != nil {
		return Pair{}, fmt.Errorf("the certificate authority cannot be used: %w", err)
	}
	key, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, NotBefore: now.Add(-clocksDiffer), NotAfter: now.Add(certificateLasts),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	if issuer.NotAfter.Before(template.NotAfter) { // it is believed no longer
		template.NotAfter = issuer.NotAfter
	}
	if issuer.NotBefore.After(template.NotBefore) { // nor before
		template.NotBefore = issuer.NotBefore
	}
	return sign(template, issuer, key, issuerKey)
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func sign(template, issuer *x509.Certificate, key, issuerKey crypto.Signer) (Pair, error) {
	certificate, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		return Pair{}, err
	}
	return encode(certificate, key)
}

func encode(certificate []byte, key crypto.Signer) (Pair, error) {
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: typeCertificate, Bytes: certificate}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: typeKey, Bytes: text}),
	}, nil
}

func (p Pair) parse() (*x509.Certificate, crypto.Signer, error) {
	certificate, err := first(p.Certificate)
	if err != nil {
		return nil, nil, err
	}
	key, err := parseKey(p.Key)
	if err != nil {
		return nil, nil, err
	}
	if public, ok := key.Public().(interface {
		Equal(key crypto.PublicKey) bool
	}); !ok || !public.Equal(certificate.PublicKey) {
		return nil, nil, errors.New("the key is not that of the certificate")
	}
	return certificate, key, nil
}

// parseKey takes what openssl and cert-manager write, too. No error repeats what it could not parse.
func parseKey(text []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(text)
	for block != nil && !strings.HasSuffix(block.Type, typeKey) { // such as EC PARAMETERS
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, errors.New("there is no key in PEM")
	}
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	return nil, errors.New("the key cannot be parsed")
}

// Take returns a certificate with its key that somebody else has issued, and the authorities that come with it, in one order. It
// fails if those who believe these authorities would not believe it now.
func Take(pair Pair, authorities []byte, now time.Time) (taken Pair, by []byte, err error) {
	certificate, key, err := pair.parse()
	if err != nil {
		return Pair{}, nil, err
	}
	roots := inOrder(certificates(authorities))
	switch by = text(roots); {
	case len(roots) == 0:
		return Pair{}, nil, errors.New("there is no certificate of an authority in PEM")
	case len(roots) > mostAuthorities:
		return Pair{}, nil, fmt.Errorf("it comes with %d authorities, all of which servers would present: %d at most",
			len(roots), mostAuthorities)
	case slices.ContainsFunc(roots, func(one *x509.Certificate) bool { return !one.IsCA }):
		return Pair{}, nil, errors.New("it comes with a certificate that is not that of an authority")
	case slices.ContainsFunc(roots, certificate.Equal):
		return Pair{}, nil, errors.New("it is its own authority")
	}
	if err := pair.Check(by, now); err != nil {
		return Pair{}, nil, err
	}
	if taken, err = encode(certificate.Raw, key); err != nil {
		return Pair{}, nil, err
	}
	between := slices.DeleteFunc(certificates(pair.Certificate)[1:], signsItself) // who does not believe that one does not need it
	taken.Certificate = Join(taken.Certificate, text(between))
	return taken, by, nil
}

func signsItself(certificate *x509.Certificate) bool {
	return bytes.Equal(certificate.RawIssuer, certificate.RawSubject) && certificate.CheckSignatureFrom(certificate) == nil
}

// inOrder brings certificates that are in no order into one, each once.
func inOrder(all []*x509.Certificate) []*x509.Certificate {
	slices.SortFunc(all, func(a, b *x509.Certificate) int { return bytes.Compare(a.Raw, b.Raw) })
	return slices.CompactFunc(all, (*x509.Certificate).Equal)
}

func text(all []*x509.Certificate) (written []byte) {
	for _, certificate := range all {
		written = append(written, pem.EncodeToMemory(&pem.Block{Type: typeCertificate, Bytes: certificate.Raw})...)
	}
	return written
}

// TakeAuthority returns an authority that somebody else has made, as this package writes it: its certificate alone, and its
// key. It fails if it cannot issue certificates now.
func TakeAuthority(authority Pair, now time.Time) (Pair, error) {
	certificate, key, err := authority.parse()
	switch {
	case err != nil:
		return Pair{}, err
	case !certificate.BasicConstraintsValid || !certificate.IsCA:
		return Pair{}, errors.New("the certificate is not that of an authority")
	case certificate.KeyUsage != 0 && certificate.KeyUsage&x509.KeyUsageCertSign == 0:
		return Pair{}, errors.New("it may not sign certificates")
	case now.Before(certificate.NotBefore):
		return Pair{}, fmt.Errorf("it is not valid before %s", certificate.NotBefore.UTC().Format(time.RFC3339))
	case !now.Before(certificate.NotAfter):
		return Pair{}, fmt.Errorf("it has expired at %s", certificate.NotAfter.UTC().Format(time.RFC3339))
	}
	return encode(certificate.Raw, key)
}

// first is the first certificate of a text in PEM.
func first(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != typeCertificate {
		return nil, errors.New("there is no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// ErrUnproven means that a certificate does not prove what it should: it is of another authority, for another name, or missing.
var ErrUnproven = errors.New("certificate not believed")

// Facts are what a certificate says of itself.
type Facts struct {
	// Subject is its common name: the first of the names that it was issued for.
	Subject string
	// Fingerprint identifies it, and what is presented with it: SHA-256, in hex.
	Fingerprint string
	// From and Until are when it is valid.
	From, Until time.Time
	// Names are the DNS names and the addresses that it is for, sorted.
	Names []string
}

// Inspect returns what the first certificate of a text in PEM says, if one of the authorities, also in PEM, has issued it, or an
// intermediate one whose certificate follows.
func Inspect(text, authorities []byte) (Facts, error) {
	certificate, err := first(text)
	if err != nil {
		return Facts{}, err
	}
	chain := certificates(text)
	if err := proves(chain, Roots(authorities), ""); err != nil {
		return Facts{}, err
	}
	names := slices.Clone(certificate.DNSNames)
	for _, ip := range certificate.IPAddresses {
		names = append(names, ip.String())
	}
	slices.Sort(names)
	return Facts{
		Subject: certificate.Subject.CommonName, Fingerprint: Fingerprint(chain), Names: names,
		From: certificate.NotBefore, Until: certificate.NotAfter,
	}, nil
}

// Issuers are those of the authorities of a text in PEM that prove the first certificate of another text.
func Issuers(certificate, authorities []byte) []byte {
	return text(slices.DeleteFunc(certificates(authorities), func(one *x509.Certificate) bool {
		_, err := Inspect(certificate, text([]*x509.Certificate{one}))
		return err != nil
	}))
}

// Fingerprint identifies a certificate and those that are presented with it.
func Fingerprint(presented []*x509.Certificate) string {
	sum := sha256.New()
	for _, certificate := range presented {
		_, _ = sum.Write(certificate.Raw)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Roots are the authorities of a text in PEM.
func Roots(authorities []byte) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authorities)
	return roots
}

// IsAuthority reports whether a text in PEM begins with the certificate of an authority.
func IsAuthority(text []byte) bool {
	certificate, err := first(text)
	return err == nil && certificate.IsCA
}

// Believes reports whether the authorities of a text in PEM contain those of another text, which has one at least.
func Believes(authorities, others []byte) bool {
	known, wanted := certificates(authorities), certificates(others)
	return len(wanted) > 0 && !slices.ContainsFunc(wanted, func(one *x509.Certificate) bool {
		return !slices.ContainsFunc(known, one.Equal)
	})
}

// Same reports whether two texts in PEM have the same authorities.
func Same(a, b []byte) bool {
	return slices.EqualFunc(certificates(a), certificates(b), (*x509.Certificate).Equal)
}

// Join are the authorities of two texts in PEM.
func Join(a, b []byte) []byte {
	if len(a) > 0 && len(b) > 0 && a[len(a)-1] != '\n' {
		return slices.Concat(a, []byte("\n"), b)
	}
	return slices.Concat(a, b)
}

// Validity is when the first certificate of a text in PEM is valid.
func Validity(text []byte) (from, until time.Time, err error) {
	certificate, err := first(text)
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	return certificate.NotBefore, certificate.NotAfter, nil
}

// AuthorityValidity is when that of the authorities of a text in PEM is valid which ends last.
func AuthorityValidity(text []byte) (from, until time.Time, err error) {
	all := certificates(text)
	if len(all) == 0 {
		return time.Time{}, time.Time{}, errors.New("there is no certificate in PEM")
	}
	last := slices.MaxFunc(all, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	return last.NotBefore, last.NotAfter, nil
}

func certificates(text []byte) (all []*x509.Certificate) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, certificate)
		}
	}
	return all
}

// Check reports why those who believe these authorities would not believe a pair that was issued now; nil if they would.
func (p Pair) Check(authorities []byte, now time.Time) error {
	if _, err := first(p.Certificate); err != nil {
		return err
	}
	chain := certificates(p.Certificate)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} { // an authority may lack one
		if err := verify(chain, Roots(authorities), "", now, usage); err != nil {
			return err
		}
	}
	return nil
}

// Verify reports why a server is not the one of this name; nil if it is. A certificate that is not valid yet, or not any more, is
// as good as another one, and so is its authority: it is the operator who has to bring the server a new one, and clocks are
// corrected.
func Verify(presented []*x509.Certificate, roots *x509.CertPool, name string) error {
	if len(presented) == 0 {
		return fmt.Errorf("%w: there is none", ErrUnproven)
	}
	return proves(presented, roots, name)
}

// proves verifies a chain as it was when its first certificate was issued. Some authorities issue certificates that are valid
// from before they were issued, so that clocks may differ, and may be younger themselves.
func proves(chain []*x509.Certificate, roots *x509.CertPool, name string) error {
	from, life := chain[0].NotBefore, chain[0].NotAfter.Sub(chain[0].NotBefore)
	err := verify(chain, roots, name, from, x509.ExtKeyUsageServerAuth)
	if err != nil && verify(chain, roots, name, from.Add(min(clocksDiffer, life/2)), x509.ExtKeyUsageServerAuth) == nil {
		return nil
	}
	return err
}

// verify verifies the first certificate of a chain.
func verify(chain []*x509.Certificate, roots *x509.CertPool, name string, at time.Time, usage x509.ExtKeyUsage) error {
	between := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, DNSName: name, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnproven, err)
	}
	return nil
}
