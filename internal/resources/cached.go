package resources

import corev1 "k8s.io/api/core/v1"

// Cached is what the operator keeps in memory of what a Secret holds: certificates, which are public, its own tokens, and of
// others that they are there.
func Cached(secret *corev1.Secret) map[string][]byte {
	var kept map[string][]byte
	keep := func(key string, value []byte) {
		if kept == nil {
			kept = map[string][]byte{}
		}
		kept[key] = value
	}
	for _, key := range []string{
		corev1.TLSCertKey, fileAuthorities, keyNextCertificate, keyFormer, keyOperator, keyRecovery, keyFormerRecovery,
	} {
		if value, has := secret.Data[key]; has {
			keep(key, value)
		}
	}
	for _, key := range []string{keyNextToken, keyFormerTokens} {
		if _, has := secret.Data[key]; has {
			keep(key, nil)
		}
	}
	return kept
}
