package resources

import corev1 "k8s.io/api/core/v1"

// Cached is what the operator keeps in memory of what a Secret holds: certificates, which are public, its own tokens, and of
// others that they are there.
func Cached(secret *corev1.Secret) map[string][]byte {
	kept := map[string][]byte{}
	for _, key := range []string{
		corev1.TLSCertKey, fileAuthorities, keyNextCertificate, keyFormer, keyOperator, keyRecovery, keyFormerRecovery,
	} {
		if value, has := secret.Data[key]; has {
			kept[key] = value
		}
	}
	for _, key := range []string{keyNextToken, keyFormerTokens} {
		if _, has := secret.Data[key]; has {
			kept[key] = nil
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}
