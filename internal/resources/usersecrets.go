package resources

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
)

// What users provide in Secrets of their own. No error repeats what a Secret holds.

// UserGossipKey returns the gossip key in a Secret, which is in `key` unless another one is named.
func UserGossipKey(secret *corev1.Secret, named string) (GossipKeys, error) {
	name := cmp.Or(named, "key")
	key, err := valueOf(secret, name)
	if err != nil {
		return GossipKeys{}, err
	}
	if !isGossipKey(key) {
		return GossipKeys{}, fmt.Errorf("%s in the Secret %s is no gossip key, which is 16, 24 or 32 bytes in base64: make one by "+
			"`consul keygen`", name, secret.Name)
	}
	return GossipKeys{ring: []string{key}}, nil
}

// UserToken returns the management token in a Secret, which is in `token` unless another key is named.
func UserToken(secret *corev1.Secret, named string) (ManagementTokens, error) {
	name := cmp.Or(named, "token")
	token, err := valueOf(secret, name)
	if err != nil {
		return ManagementTokens{}, err
	}
	if len(token) != uuidLength || uuid.Validate(token) != nil {
		return ManagementTokens{}, fmt.Errorf("%s in the Secret %s is no UUID, as Consul's tokens are", name, secret.Name)
	}
	return ManagementTokens{Present: token}, nil
}

// uuidLength is that of the form which Consul takes.
const uuidLength = len("00000000-0000-0000-0000-000000000000")

// UserAuthority returns the certificate authority in a Secret. It has to be one that can issue the certificate of the
// servers: an authority may be kept from some names.
func UserAuthority(secret *corev1.Secret, c *v1alpha1.ConsulCluster, now time.Time) (pki.Pair, error) {
	for _, key := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
		if _, err := valueOf(secret, key); err != nil {
			return pki.Pair{}, err
		}
	}
	authority, err := pki.TakeAuthority(PairOf(secret), now)
	if _, until, _ := pki.Validity(authority.Certificate); err == nil && until.Sub(now) < leastLife {
		err = fmt.Errorf("it ends at %s", until.UTC().Format(time.RFC3339))
	}
	if err == nil {
		err = canIssue(authority, CertificateNames(c, TLSServerName(c)), now)
	}
	if err != nil {
		return pki.Pair{}, fmt.Errorf("the Secret %s holds no certificate authority that can issue: %w", secret.Name, err)
	}
	return authority, nil
}

// AuthorityRef names the Secret of a user that says whom servers believe; nil if there is none.
func AuthorityRef(c *v1alpha1.ConsulCluster) *v1alpha1.SecretName {
	return cmp.Or(c.Spec.TLS.CASecretRef, c.Spec.TLS.CertSecretRef)
}

// UserCertificate returns the certificate of the servers in a Secret, and the authority that has issued it, without its key.
func UserCertificate(
	secret *corev1.Secret, c *v1alpha1.ConsulCluster, now time.Time,
) (certificate, authority pki.Pair, err error) {
	for _, key := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey, fileAuthorities} {
		if _, err := valueOf(secret, key); err != nil {
			return pki.Pair{}, pki.Pair{}, err
		}
	}
	name := TLSServerName(c)
	certificate, authority.Certificate, err = pki.Take(PairOf(secret), secret.Data[fileAuthorities], now)
	if err == nil {
		err = isFor(certificate, authority, c)
	}
	if err != nil {
		return pki.Pair{}, pki.Pair{}, fmt.Errorf("the Secret %s holds no certificate that servers can use, which has to be for %s, "+
			"for servers and clients, and issued by ca.crt: %w", secret.Name, name, err)
	}
	return certificate, authority, nil
}

// isFor reports why servers would not know each other by a certificate; nil if they would.
func isFor(certificate, authority pki.Pair, c *v1alpha1.ConsulCluster) error {
	facts, err := pki.Inspect(certificate.Certificate, authority.Certificate)
	switch name := TLSServerName(c); {
	case err != nil:
		return err
	case !slices.Contains(facts.Names, name):
		return errors.New("it is not for that name")
	case ProvenName(c, facts) != name:
		return errors.New("its common name is that of a server of another domain")
	}
	return nil
}

// leastLife is how long an authority has to last: servers and clients need time to go on to another one.
const leastLife = 48 * time.Hour

func canIssue(authority pki.Pair, names []string, now time.Time) error {
	certificate, err := pki.Issue(authority, names, now)
	if err != nil {
		return err
	}
	return certificate.Check(authority.Certificate, now)
}

func valueOf(secret *corev1.Secret, key string) (string, error) {
	value := strings.TrimSpace(string(secret.Data[key]))
	if value == "" {
		return "", fmt.Errorf("the Secret %s has no key %s", secret.Name, key)
	}
	return value, nil
}
