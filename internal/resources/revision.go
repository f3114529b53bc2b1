package resources

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// Keys of the Secret that holds a revision.
const (
	keyConfig = "server.json"
	keyPod    = "pod.json"
)

// inputs is all user input that makes a server what it is. New fields must have omitempty, so that specs that do not use them
// keep their revision.
type inputs struct {
	Version     string               `json:"version"`
	Image       string               `json:"image,omitempty"`
	Datacenter  string               `json:"datacenter"`
	Config      *v1alpha1.Config     `json:"config,omitempty"`
	PodTemplate v1alpha1.PodTemplate `json:"podTemplate"`
	RestartedAt string               `json:"restartedAt,omitempty"`
	// Gossip is the phase of gossip encryption: a word of the operator, which users change by way of their spec.
	Gossip v1alpha1.GossipPhase `json:"gossip,omitempty"`
	// TLS is the phase of TLS, a word of the operator as well.
	TLS v1alpha1.TLSPhase `json:"tls,omitempty"`
	// ACLs is the phase of ACLs.
	ACLs v1alpha1.ACLPhase `json:"acls,omitempty"`
	// Metrics is whether servers keep metrics for Prometheus.
	Metrics bool `json:"metrics,omitempty"`
}

// Revision returns the wanted revision: a hash of the user's input, not of what the operator renders from it. The rendered pod
// and configuration are stored once with the revision, and a newer operator that would render the same spec differently finds
// them there. So an upgrade of the operator restarts no server (I6).
func Revision(c *v1alpha1.ConsulCluster) string {
	said, err := json.Marshal(inputs{
		Version: c.Spec.Version, Image: c.Spec.Image, Datacenter: c.Spec.Datacenter, Config: fileConfig(c),
		PodTemplate: c.Spec.PodTemplate, RestartedAt: c.Annotations[v1alpha1.AnnotationRestartedAt], Gossip: GossipPhase(c),
		TLS: TLSPhase(c), ACLs: ACLPhase(c), Metrics: c.Spec.Metrics.Enabled,
	})
	if err != nil { // impossible: the API server has parsed it
		said = []byte(err.Error())
	}
	sum := sha256.Sum256(said)
	return hex.EncodeToString(sum[:])[:10]
}

// fileConfig returns the part of spec.config that servers read when they start, with sorted keys, so that their order does not
// matter; nil if it is empty.
func fileConfig(c *v1alpha1.ConsulCluster) *v1alpha1.Config {
	parts, err := divide(c)
	if err != nil || len(parts.file) == 0 {
		return nil
	}
	sorted, err := v1alpha1.NewConfig(parts.file)
	if err != nil { // impossible: it was parsed
		return c.Spec.Config
	}
	return sorted
}

// Digest identifies what a Secret holds; empty if that is nothing.
func Digest(secret *corev1.Secret) string {
	if len(secret.Data) == 0 {
		return ""
	}
	sum := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(secret.Data)) {
		fmt.Fprintf(sum, "%d %s %d ", len(key), key, len(secret.Data[key]))
		_, _ = sum.Write(secret.Data[key])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// CachedDigest is the same of a Secret from the cache.
func CachedDigest(secret *corev1.Secret) string {
	if digest, isCached := secret.Data[cachedDigest]; isCached {
		return string(digest)
	}
	return Digest(secret)
}

// RevisionName returns the name of the Secret that holds a revision.
func RevisionName(cluster, revision string) string { return cluster + "-" + revision }

// RevisionLabels returns the labels of the Secret that holds a revision.
func RevisionLabels(c *v1alpha1.ConsulCluster, revision string) map[string]string {
	labels := Labels(c)
	labels[v1alpha1.LabelRevision] = revision
	return labels
}

// RevisionSecret returns the Secret with the wanted revision: the configuration and the pod of its servers. It is a Secret
// because the configuration may contain keys and tokens, and immutable because servers with older revisions keep theirs.
func RevisionSecret(c *v1alpha1.ConsulCluster) (*corev1.Secret, error) {
	config, err := AgentConfig(c)
	if err != nil {
		return nil, err
	}
	revision := Revision(c)
	pod, err := json.Marshal(podTemplate(c, revision))
	if err != nil {
		return nil, fmt.Errorf("spec.podTemplate: %w", err)
	}
	secret := &corev1.Secret{
		ObjectMeta: meta(c, RevisionName(c.Name, revision)),
		Data:       map[string][]byte{keyConfig: config, keyPod: pod},
	}
	secret.Labels = RevisionLabels(c, revision)
	immutable := true
	secret.Immutable = &immutable
	return secret, nil
}
