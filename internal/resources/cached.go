package resources

import corev1 "k8s.io/api/core/v1"

// Cached is what the operator keeps in memory of what a Secret holds: certificates, which are public, and its own tokens.
func Cached(secret *corev1.Secret) map[string][]byte {
	var kept map[string][]byte
	for _, key := range []string{
		corev1.TLSCertKey, fileAuthorities, keyNextCertificate, keyFormer, keyOperator, keyRecovery,
	} {
		if value, has := secret.Data[key]; has {
			if kept == nil {
				kept = map[string][]byte{}
			}
			kept[key] = value
		}
	}
	return kept
}
