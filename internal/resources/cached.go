package resources

import corev1 "k8s.io/api/core/v1"

// Keys of what the cache says of a Secret in the place of what it leaves out. No Secret of the API server has such keys: it
// refuses the slash.
const (
	cachedDigest = "cached/digest"
	cachedStage  = "cached/gossip-stage"
)

// Cached is what the operator keeps in memory of what a Secret holds: certificates, which are public, its own tokens, of others
// that they are there, and of all of it a digest. Of what it has returned itself it returns the same: informers that stream
// their first list call it twice.
func Cached(secret *corev1.Secret) map[string][]byte {
	if _, isCached := secret.Data[cachedDigest]; isCached {
		return secret.Data
	}
	kept := map[string][]byte{cachedDigest: []byte(Digest(secret)), cachedStage: []byte(GossipStageOf(secret))}
	for _, key := range []string{
		corev1.TLSCertKey, fileAuthorities, keyNextCertificate, keyFormer, keyOperator, keyRecovery, keyFormerRecovery, keyMetrics,
	} {
		if value, has := secret.Data[key]; has {
			kept[key] = value
		}
	}
	for _, key := range []string{corev1.TLSPrivateKeyKey, keyNextKey} {
		if hasNoKey(secret, key) {
			kept[key] = []byte{}
		}
	}
	for _, key := range []string{keyNextToken, keyFormerTokens} {
		if _, has := secret.Data[key]; has {
			kept[key] = nil
		}
	}
	return kept
}
