package resources

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

const (
	// keyGossip is the key of the Secret that holds the primary gossip key: that of HashiCorp's Helm chart, so that client agents
	// can read it from there. keyKeyring holds all keys, primary first, as the file that Consul reads. keyNext holds the key that
	// is to become the primary one, if there is one; keyRemoving is there while members forget all others.
	keyGossip   = "key"
	keyKeyring  = "keyring"
	keyNext     = "next"
	keyRemoving = "removing"
	// gossipKeySize is in bytes: AES-256, as `consul keygen` makes it.
	gossipKeySize = 32
)

// GossipKeys are the gossip keys in the Secret of a cluster. They are secret: they are never printed.
type GossipKeys struct {
	// ring has all keys; servers that start encrypt with the first one.
	ring []string
	// next is the one of them that is to become the first; empty if none is.
	next string
	// removing is set while members forget all other keys.
	removing bool
}

// String does not print the keys.
func (k GossipKeys) String() string { return fmt.Sprintf("%d gossip keys", len(k.ring)) }

// GoString does not either.
func (k GossipKeys) GoString() string { return k.String() }

// NewGossipKeys are a random key.
func NewGossipKeys() GossipKeys { return GossipKeys{ring: []string{newGossipKey()}} }

// IsNone reports whether there is no key.
func (k GossipKeys) IsNone() bool { return len(k.ring) == 0 }

// KnownGossipKeys are the keys that servers have. Those that are not primary go.
func KnownGossipKeys(primary string, all []string) GossipKeys {
	others := slices.DeleteFunc(slices.Clone(all), func(key string) bool { return key == primary })
	return GossipKeys{ring: append([]string{primary}, others...)}
}

// New is the key that all members are to encrypt with in the end; empty if there is none.
func (k GossipKeys) New() string {
	switch {
	case k.next != "":
		return k.next
	case !k.IsNone():
		return k.ring[0]
	}
	return ""
}

// WithNext are the keys and another one, which is to become the primary one.
func (k GossipKeys) WithNext(next GossipKeys) GossipKeys {
	return GossipKeys{ring: append(slices.Clone(k.ring), next.New()), next: next.New()}
}

// WithNewFirst are the same keys; the new one is primary.
func (k GossipKeys) WithNewFirst() GossipKeys { return KnownGossipKeys(k.New(), k.ring) }

// Removing are the primary key alone, while members forget the others.
func (k GossipKeys) Removing() GossipKeys { return GossipKeys{ring: k.ring[:1], removing: true} }

// Settled are the primary key alone.
func (k GossipKeys) Settled() GossipKeys { return GossipKeys{ring: k.ring[:1]} }

// isGossipKey reports whether a text is a key as Consul writes it: one of AES-128, AES-192 or AES-256 in base64.
func isGossipKey(text string) bool {
	key, err := base64.StdEncoding.DecodeString(text)
	return err == nil && base64.StdEncoding.EncodeToString(key) == text && slices.Contains([]int{16, 24, 32}, len(key))
}

func newGossipKey() string {
	key := make([]byte, gossipKeySize)
	_, _ = rand.Read(key) // it never fails: https://pkg.go.dev/crypto/rand#Read
	return base64.StdEncoding.EncodeToString(key)
}

// GossipSecretName returns the name of the Secret with the gossip keys, which is that of HashiCorp's Helm chart.
func GossipSecretName(cluster string) string { return cluster + "-gossip-encryption-key" }

// GossipSecret returns the Secret with the gossip keys.
func GossipSecret(c *v1alpha1.ConsulCluster, keys GossipKeys) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: meta(c, GossipSecretName(c.Name)), Data: keys.data()}
}

// SetGossipKeys changes the keys in a Secret.
func SetGossipKeys(secret *corev1.Secret, keys GossipKeys, now time.Time) {
	secret.Data = keys.data()
	setAnnotation(secret, v1alpha1.AnnotationKeysChanged, now.UTC().Format(time.RFC3339))
}

// SetRotatedFor records that the newest of what a Secret holds is what a cluster asks for by an annotation.
func SetRotatedFor(secret *corev1.Secret, c *v1alpha1.ConsulCluster, annotation string) {
	if asked := c.Annotations[annotation]; asked != "" {
		setAnnotation(secret, v1alpha1.AnnotationRotatedFor, asked)
	}
}

// IsAsked reports whether a cluster asks, by an annotation, for something newer than what a Secret holds.
func IsAsked(c *v1alpha1.ConsulCluster, secret *corev1.Secret, annotation string) bool {
	asked := c.Annotations[annotation]
	return asked != "" && asked != secret.Annotations[v1alpha1.AnnotationRotatedFor]
}

// ForgetRotation forgets for which request a Secret got its newest key: a request that stands begins anew.
func ForgetRotation(secret *corev1.Secret) { delete(secret.Annotations, v1alpha1.AnnotationRotatedFor) }

func setAnnotation(o metav1.Object, key, value string) {
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[key] = value
	o.SetAnnotations(annotations)
}

// IsNewestGossipKey reports whether the newest gossip key in a Secret, which may be from the cache, is this one. Of a
// Secret from the cache it knows that only while no rotation is under way.
func IsNewestGossipKey(secret *corev1.Secret, key GossipKeys) bool {
	if keys, err := GossipKeysOf(secret); err == nil {
		return keys.New() == key.New()
	}
	return CachedDigest(secret) == Digest(&corev1.Secret{Data: key.data()})
}

// KeysChanged is when the keys in a Secret became what they are.
func KeysChanged(secret *corev1.Secret) time.Time {
	changed, err := time.Parse(time.RFC3339, secret.Annotations[v1alpha1.AnnotationKeysChanged])
	if err != nil {
		return secret.CreationTimestamp.Time
	}
	return changed
}

func (k GossipKeys) data() map[string][]byte {
	keyring, err := json.Marshal(k.ring)
	if err != nil {
		panic(err) // strings can be written
	}
	data := map[string][]byte{keyGossip: []byte(k.ring[0]), keyKeyring: keyring}
	if k.next != "" {
		data[keyNext] = []byte(k.next)
	}
	if k.removing {
		data[keyRemoving] = []byte("true")
	}
	return data
}

// GossipStage is how far the rotation of the gossip keys in a Secret is.
type GossipStage string

const (
	// GossipDamaged keys cannot be used, or there is none.
	GossipDamaged GossipStage = ""
	// GossipSettled is one key.
	GossipSettled GossipStage = "Settled"
	// GossipComing means that there is a key beside the primary one, which is to take its place.
	GossipComing GossipStage = "Coming"
	// GossipGoing means that there are keys beside the primary one that are to go.
	GossipGoing GossipStage = "Going"
	// GossipRemoving means that there is one key, and members may still have others.
	GossipRemoving GossipStage = "Removing"
)

// Stage is how far their rotation is.
func (k GossipKeys) Stage() GossipStage {
	switch {
	case k.next != "":
		return GossipComing
	case len(k.ring) > 1:
		return GossipGoing
	case k.removing:
		return GossipRemoving
	case len(k.ring) == 1:
		return GossipSettled
	}
	return GossipDamaged
}

// GossipStageOf is the stage of the keys in a Secret.
func GossipStageOf(secret *corev1.Secret) GossipStage {
	keys, _ := GossipKeysOf(secret) // none if they are damaged
	return keys.Stage()
}

// CachedGossipStage is the same of a Secret from the cache.
func CachedGossipStage(secret *corev1.Secret) GossipStage {
	if stage, isCached := secret.Data[cachedStage]; isCached {
		return GossipStage(stage)
	}
	return GossipStageOf(secret)
}

// GossipKeysOf reads the keys in a Secret. It fails unless they are as the operator writes them: servers would not start with
// them, or others would not hear those that do.
func GossipKeysOf(secret *corev1.Secret) (GossipKeys, error) {
	_, removing := secret.Data[keyRemoving]
	keys := GossipKeys{next: string(secret.Data[keyNext]), removing: removing}
	if json.Unmarshal(secret.Data[keyKeyring], &keys.ring) != nil || len(keys.ring) == 0 {
		return GossipKeys{}, fmt.Errorf("%s is not a list of keys", keyKeyring)
	}
	for _, key := range keys.ring {
		if !isGossipKey(key) {
			return GossipKeys{}, fmt.Errorf("%s holds something else than keys of 16, 24 or 32 bytes", keyKeyring)
		}
	}
	switch {
	case keys.ring[0] != string(secret.Data[keyGossip]):
		return GossipKeys{}, fmt.Errorf("%s is not the first key of %s", keyGossip, keyKeyring)
	case keys.next != "" && !slices.Contains(keys.ring[1:], keys.next):
		return GossipKeys{}, fmt.Errorf("%s is none of the other keys of %s", keyNext, keyKeyring)
	case removing && len(keys.ring) > 1:
		return GossipKeys{}, fmt.Errorf("%s holds more than one key, and %s says that there is one", keyKeyring, keyRemoving)
	}
	return keys, nil
}
