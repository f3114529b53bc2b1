package localcluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority signs the certificates of one cluster. Its key never leaves memory.
type authority struct {
	cert   *x509.Certificate
	key    crypto.Signer
	serial int64
	dir    string
}

// certLifetime is longer than any local cluster lives.
const certLifetime = 30 * 24 * time.Hour

func newAuthority(dir string) (*authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	a := &authority{key: key, dir: dir}
	template := a.template("localcluster")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return a, os.WriteFile(a.path("ca.crt"), a.certPEM(), 0o600)
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) certPEM() []byte { return encodePEM("CERTIFICATE", a.cert.Raw) }

func (a *authority) template(commonName string) *x509.Certificate {
	a.serial++
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(a.serial),
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(certLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

// keyPair is a certificate and its key, in PEM and as files.
type keyPair struct {
	cert, key         []byte
	certFile, keyFile string
}

// serving makes a server certificate for the given addresses and names.
func (a *authority) serving(name string, ips, dnsNames []string) (keyPair, error) {
	template := a.template(name)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames = dnsNames
	for _, ip := range ips {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	return a.issue(name, template)
}

// client makes a client certificate; Kubernetes takes the user from its common name and the groups from its
// organizations.
func (a *authority) client(user string, groups ...string) (keyPair, error) {
	template := a.template(user)
	template.Subject.Organization = groups
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.issue("client-"+user, template)
}

func (a *authority) issue(name string, template *x509.Certificate) (keyPair, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return keyPair{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return keyPair{}, fmt.Errorf("issuing the certificate %s: %w", name, err)
	}
	pair := keyPair{
		cert: encodePEM("CERTIFICATE", der), key: keyPEM,
		certFile: a.path(name + ".crt"), keyFile: a.path(name + ".key"),
	}
	if err := os.WriteFile(pair.certFile, pair.cert, 0o600); err != nil {
		return keyPair{}, err
	}
	return pair, os.WriteFile(pair.keyFile, pair.key, 0o600)
}

// signingKey writes a bare key, with which service account tokens are signed.
func (a *authority) signingKey(name string) (string, error) {
	_, keyPEM, err := newKey()
	if err != nil {
		return "", err
	}
	return a.path(name), os.WriteFile(a.path(name), keyPEM, 0o600)
}

func newKey() (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, encodePEM("EC PRIVATE KEY", der), nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
