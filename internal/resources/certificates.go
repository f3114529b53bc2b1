package resources

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
)

const (
	// PortHTTPS is where servers with certificates serve their API.
	PortHTTPS = 8501
	// PathTLS is where they have their certificate, in their containers.
	PathTLS = "/consul/tls"

	// volumeTLS is a name that no user's volume has.
	volumeTLS = "operator-tls"

	// keyNextCertificate and keyNextKey hold, in the Secret of the authority, the one that is to take its place.
	keyNextCertificate = "next.crt"
	keyNextKey         = "next.key"
	// keyFormer holds, in the same Secret, the certificate of the one whose place was taken, until it is forgotten.
	keyFormer = "former.crt"

	// fileAuthorities is the file of the authorities that servers believe, and the key of a Secret with a certificate of theirs.
	fileAuthorities = "ca.crt"
)

// TLSPhase returns the phase of TLS that servers have, or are getting: empty for a cluster that never had certificates. It is
// recorded as GossipPhase is.
func TLSPhase(c *v1alpha1.ConsulCluster) v1alpha1.TLSPhase {
	return v1alpha1.TLSPhase(phaseOf(c, v1alpha1.AnnotationTLS, string(c.Status.TLS)))
}

// TLSRecordLost reports whether only the status has the phase.
func TLSRecordLost(c *v1alpha1.ConsulCluster) bool {
	_, recorded := recordOf(c, v1alpha1.AnnotationTLS)
	return !recorded && TLSPhase(c) != ""
}

// HasTLS reports whether servers have certificates.
func HasTLS(c *v1alpha1.ConsulCluster) bool {
	return slices.Contains([]v1alpha1.TLSPhase{
		v1alpha1.TLSAccepting, v1alpha1.TLSSending, v1alpha1.TLSRequired, v1alpha1.TLSHTTPSOnly,
	}, TLSPhase(c))
}

// requiresTLS reports whether servers take RPC from nobody who has no certificate.
func requiresTLS(c *v1alpha1.ConsulCluster) bool {
	return TLSPhase(c) == v1alpha1.TLSRequired || isHTTPSOnly(c)
}

// PodHasTLS reports whether the server of a pod has a certificate. Anybody who may change a pod can change its annotations, and
// nobody its volumes.
func PodHasTLS(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, isTLSVolume)
}

func isTLSVolume(v corev1.Volume) bool { return v.Name == volumeTLS }

// isHTTPSOnly reports whether servers serve HTTP to nobody but themselves.
func isHTTPSOnly(c *v1alpha1.ConsulCluster) bool { return TLSPhase(c) == v1alpha1.TLSHTTPSOnly }

// VolumesThatTell are the volumes of a pod that say something about its server.
func VolumesThatTell(pod *corev1.Pod) (told []corev1.Volume) {
	for _, volume := range pod.Spec.Volumes {
		switch {
		case volume.DownwardAPI != nil:
			told = append(told, volume)
		case isTLSVolume(volume), isACLVolume(volume):
			told = append(told, corev1.Volume{Name: volume.Name, VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{},
			}})
		}
	}
	return told
}

// AuthoritiesSecretName returns the name of the Secret with the certificates of the authorities that servers and clients believe.
// The names of the Secrets, and their keys, are those of HashiCorp's Helm chart.
func AuthoritiesSecretName(cluster string) string { return cluster + "-ca-cert" }

// AuthoritySecretName returns the name of the Secret with the authority that issues certificates: its certificate and its key.
func AuthoritySecretName(cluster string) string { return cluster + "-ca-key" }

// CertificateSecretName returns the name of the Secret with the certificate that the servers share.
func CertificateSecretName(cluster string) string { return cluster + "-server-cert" }

// AuthoritiesSecret returns the Secret with the certificates of the authorities.
func AuthoritiesSecret(c *v1alpha1.ConsulCluster, authorities []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: meta(c, AuthoritiesSecretName(c.Name)), Data: map[string][]byte{corev1.TLSCertKey: authorities},
	}
}

// AuthoritySecret returns the Secret with the authority. It is the one that a cluster asks for, whatever it asks for by now.
func AuthoritySecret(c *v1alpha1.ConsulCluster, authority pki.Pair) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: meta(c, AuthoritySecretName(c.Name)), Type: corev1.SecretTypeTLS}
	SetAuthority(secret, authority)
	SetRotatedFor(secret, c, v1alpha1.AnnotationRotateAuthority)
	return secret
}

// SetAuthority lets the Secret of the authority hold this one alone.
func SetAuthority(secret *corev1.Secret, authority pki.Pair) {
	secret.Data = map[string][]byte{corev1.TLSCertKey: authority.Certificate, corev1.TLSPrivateKeyKey: written(authority.Key)}
}

// written is a value as JSON can write it: the API server removes what is null.
func written(value []byte) []byte { return append([]byte{}, value...) }

// PromoteAuthority lets the next authority in a Secret issue from now on. The certificates of those before stay as long as
// servers may have been issued theirs by them.
func PromoteAuthority(secret *corev1.Secret) {
	former := Authorities(secret)
	SetAuthority(secret, NextAuthority(secret))
	secret.Data[keyFormer] = former
}

// ForgetFormerAuthority removes it.
func ForgetFormerAuthority(secret *corev1.Secret) { delete(secret.Data, keyFormer) }

// SetNextAuthority adds the authority that is to take the place of the one in a Secret, as a cluster asks for.
func SetNextAuthority(secret *corev1.Secret, c *v1alpha1.ConsulCluster, next pki.Pair, now time.Time) {
	secret.Data[keyNextCertificate], secret.Data[keyNextKey] = next.Certificate, written(next.Key)
	SetRotatedFor(secret, c, v1alpha1.AnnotationRotateAuthority)
	setAnnotation(secret, v1alpha1.AnnotationKeysChanged, now.UTC().Format(time.RFC3339))
}

// NextAuthority returns the authority that is to take the place of the one in a Secret; none if it has no certificate. The cache
// leaves its key out.
func NextAuthority(secret *corev1.Secret) pki.Pair {
	return pki.Pair{Certificate: secret.Data[keyNextCertificate], Key: secret.Data[keyNextKey]}
}

// NewestAuthority returns the certificate of the authority that issues in the end: the next one, if there is one.
func NewestAuthority(secret *corev1.Secret) []byte {
	if next := NextAuthority(secret).Certificate; pki.IsAuthority(next) {
		return next
	}
	return PairOf(secret).Certificate
}

// CertificateSecret returns the Secret with the servers' certificate.
func CertificateSecret(c *v1alpha1.ConsulCluster, certificate pki.Pair, authorities []byte, now time.Time) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: meta(c, CertificateSecretName(c.Name)), Type: corev1.SecretTypeTLS}
	SetCertificate(secret, certificate, authorities, now)
	return secret
}

// SetCertificate changes the certificate in a Secret.
func SetCertificate(secret *corev1.Secret, certificate pki.Pair, authorities []byte, now time.Time) {
	secret.Data = map[string][]byte{
		corev1.TLSCertKey: certificate.Certificate, corev1.TLSPrivateKeyKey: certificate.Key, fileAuthorities: authorities,
	}
	setAnnotation(secret, v1alpha1.AnnotationKeysChanged, now.UTC().Format(time.RFC3339))
}

// Presented is a certificate that a user provides as servers present it: with the authorities that come with it, also those that
// are in its chain. So what a server presents tells whom it believes, though the certificate is the same.
func Presented(certificate pki.Pair, authorities []byte) pki.Pair {
	if len(certificate.Certificate) == 0 { // an authority is not to be taken for a server
		return pki.Pair{}
	}
	return pki.Pair{Certificate: pki.Join(certificate.Certificate, authorities), Key: certificate.Key}
}

// PresentedNext is the certificate in a Secret of the servers as they present it when they believe other authorities.
func PresentedNext(secret *corev1.Secret, authorities []byte) pki.Pair {
	certificate := PairOf(secret)
	certificate.Certificate = bytes.TrimSuffix(certificate.Certificate, secret.Data[fileAuthorities])
	return Presented(certificate, authorities)
}

// IssuesNothing reports whether the authority in a Secret has no key: a user provides the certificates.
func IssuesNothing(secret *corev1.Secret) bool { return hasNoKey(secret, corev1.TLSPrivateKeyKey) }

// NextIssuesNothing is the same of the authority that issues in the end.
func NextIssuesNothing(secret *corev1.Secret) bool {
	if pki.IsAuthority(NextAuthority(secret).Certificate) {
		return hasNoKey(secret, keyNextKey)
	}
	return IssuesNothing(secret)
}

// SuitsSpec reports whether the newest authority in a Secret has a key where the operator issues certificates, and none where a
// user provides them.
func SuitsSpec(secret *corev1.Secret, c *v1alpha1.ConsulCluster) bool {
	return NextIssuesNothing(secret) == (c.Spec.TLS.CertSecretRef != nil)
}

// hasNoKey is what the cache keeps of a key: whether it is there, and empty.
func hasNoKey(secret *corev1.Secret, key string) bool {
	value, has := secret.Data[key]
	return has && len(value) == 0
}

// PairOf returns what a Secret with a certificate and its key holds.
func PairOf(secret *corev1.Secret) pki.Pair {
	return pki.Pair{Certificate: secret.Data[corev1.TLSCertKey], Key: secret.Data[corev1.TLSPrivateKeyKey]}
}

// Authorities returns the certificates of authorities in a Secret: beside a certificate of theirs, or alone.
func Authorities(secret *corev1.Secret) []byte {
	if authorities, beside := secret.Data[fileAuthorities]; beside {
		return authorities
	}
	return pki.Join(secret.Data[corev1.TLSCertKey], secret.Data[keyFormer])
}

// NewAuthority returns an authority for the certificates of a cluster.
func NewAuthority(c *v1alpha1.ConsulCluster, now time.Time) (pki.Pair, error) {
	return pki.NewAuthority(fmt.Sprintf("Consul %s/%s %s", c.Namespace, c.Name, c.UID), now)
}

// TLSServerName is the name by which servers prove to each other, and to the operator, that they are servers of this
// datacenter
// (https://developer.hashicorp.com/consul/docs/reference/agent/configuration-file/tls#tls_internal_rpc_verify_server_hostname).
// It is what the spec says; what servers have is in their certificate.
func TLSServerName(c *v1alpha1.ConsulCluster) string {
	domain := "consul"
	if config, err := c.Spec.Config.Values(); err == nil {
		if _, said, found := lookup(config, "domain"); found {
			if text, isText := said.(string); isText {
				domain = strings.TrimSuffix(text, ".") // as Consul does
			}
		}
	}
	return "server." + c.Spec.Datacenter + "." + domain
}

// CertificateNames are the names that the servers' certificate is for: that of a server first, then those of the Services, then
// those that the spec adds.
func CertificateNames(c *v1alpha1.ConsulCluster, server string) []string {
	names := []string{server, "localhost", "127.0.0.1", "::1"}
	for _, service := range []string{ClientServiceName(c.Name), JoinServiceName(c.Name)} {
		names = append(names, service, service+"."+c.Namespace, service+"."+c.Namespace+".svc",
			service+"."+c.Namespace+".svc.cluster.local")
	}
	for _, name := range c.Spec.TLS.AdditionalDNSNames {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// ProvenName is the name by which servers know those who present a certificate: that which the operator issued it for, or which a
// user has it for.
func ProvenName(c *v1alpha1.ConsulCluster, certificate pki.Facts) string {
	isServers := func(name string) bool { return strings.HasPrefix(name, "server."+c.Spec.Datacenter+".") }
	wanted := TLSServerName(c)
	switch {
	case isServers(certificate.Subject) && slices.Contains(certificate.Names, certificate.Subject):
		return certificate.Subject
	case slices.Contains(certificate.Names, wanted):
		return wanted
	}
	if at := slices.IndexFunc(certificate.Names, isServers); at >= 0 {
		return certificate.Names[at]
	}
	return wanted // which it does not prove
}

// IsNamed reports whether a certificate is for the names that servers have.
func IsNamed(c *v1alpha1.ConsulCluster, certificate pki.Facts) bool {
	wanted := CertificateNames(c, certificate.Subject)
	slices.Sort(wanted)
	return slices.Equal(wanted, certificate.Names)
}

// tlsConfig is what the servers' configuration says of TLS in a phase. Where verify_server_hostname is set, Consul takes
// verify_outgoing for set as well.
func tlsConfig(c *v1alpha1.ConsulCluster) map[string]any {
	if !HasTLS(c) {
		return nil
	}
	sends := TLSPhase(c) != v1alpha1.TLSAccepting
	config := map[string]any{
		"tls": map[string]any{
			"defaults": map[string]any{
				"ca_file": PathTLS + "/" + fileAuthorities, "cert_file": PathTLS + "/" + corev1.TLSCertKey,
				"key_file": PathTLS + "/" + corev1.TLSPrivateKeyKey, "verify_outgoing": sends,
			},
			// Clients of the API prove who they are by a token, and probes by nothing.
			"internal_rpc": map[string]any{"verify_incoming": requiresTLS(c), "verify_server_hostname": sends},
		},
		"ports": map[string]any{"https": PortHTTPS},
	}
	if isHTTPSOnly(c) {
		config["addresses"] = map[string]any{"http": "127.0.0.1"}
	}
	return config
}

// prepareTLS gives the servers of a revision their certificate.
func prepareTLS(template *corev1.PodTemplateSpec, c *v1alpha1.ConsulCluster) {
	if phase := TLSPhase(c); phase != "" {
		annotateTemplate(template, v1alpha1.AnnotationTLS, string(phase))
	}
	if !HasTLS(c) {
		return
	}
	pod := &template.Spec
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: volumeTLS, VolumeSource: corev1.VolumeSource{
		// All from one Secret: who presents a certificate has the authorities that came with it.
		Secret: &corev1.SecretVolumeSource{SecretName: CertificateSecretName(c.Name)},
	}})
	pod.Containers[0].VolumeMounts = append(pod.Containers[0].VolumeMounts, corev1.VolumeMount{
		Name: volumeTLS, MountPath: PathTLS, ReadOnly: true,
	})
}

// tlsSettings are the keys of spec.config that say again, or otherwise, what spec.tls says.
var tlsSettings = []string{
	"tls", "ports.https", "ca_file", "ca_path", "cert_file", "key_file", "verify_incoming", "verify_incoming_https",
	"verify_incoming_rpc", "verify_outgoing", "verify_server_hostname", "tls_cipher_suites", "tls_min_version",
}

// checkTLS refuses them, and servers of other datacenters, which have certificates of another authority.
func checkTLS(c *v1alpha1.ConsulCluster, config map[string]any) error {
	if !UsesTLS(c) {
		return nil
	}
	for _, key := range tlsSettings {
		switch written, _, found := lookup(config, key); {
		case found && HasTLS(c):
			return fmt.Errorf("spec.config.%s: remove it, since spec.tls configures certificates", written)
		case found:
			return fmt.Errorf("spec.tls.enabled: remove it, since spec.config.%s configures certificates, and the operator cannot take "+
				"that over", written)
		}
	}
	if ConnectsDatacenters(c) {
		return errors.New("spec.config.ports.serf_wan: remove it, or set spec.tls.enabled to false, since servers of other " +
			"datacenters have certificates of another authority")
	}
	return nil
}

// UsesTLS reports whether a cluster has certificates, or asks for them.
func UsesTLS(c *v1alpha1.ConsulCluster) bool {
	return HasTLS(c) || ptr.Deref(c.Spec.TLS.Enabled, false)
}
