package resources

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// ContainerGossipKey is the name of the init container that gives a server the gossip key.
const ContainerGossipKey = "gossip-key"

const (
	volumeGossip = "gossip"
	pathGossip   = "/consul/gossip"
)

// GossipPhase returns the phase of gossip encryption that servers have, or are getting: empty for a cluster that never had a key.
// Its record counts if it was written for this cluster. Without one, the status is the witness: a person who replaces the object
// takes its annotations away, and not its status.
func GossipPhase(c *v1alpha1.ConsulCluster) v1alpha1.GossipPhase {
	return v1alpha1.GossipPhase(phaseOf(c, v1alpha1.AnnotationGossip, string(c.Status.GossipEncryption)))
}

// phaseOf is a phase by its record or, without one, by the status.
func phaseOf(c *v1alpha1.ConsulCluster, annotation, witness string) string {
	if said, recorded := recordOf(c, annotation); recorded {
		return said
	}
	if witness == "" || !HasOwnStatus(c) {
		return ""
	}
	return witness
}

// GossipRecordLost reports whether only the status has the phase.
func GossipRecordLost(c *v1alpha1.ConsulCluster) bool {
	_, recorded := recordOf(c, v1alpha1.AnnotationGossip)
	return !recorded && GossipPhase(c) != ""
}

// recordOf is a record on a ConsulCluster, if it was written for it.
func recordOf(c *v1alpha1.ConsulCluster, annotation string) (said string, recorded bool) {
	said, recorded = c.Annotations[annotation]
	return said, recorded && c.Annotations[v1alpha1.AnnotationRecordsOf] == string(c.UID)
}

// HasGossipKey reports whether servers have the gossip key in a phase.
func HasGossipKey(phase v1alpha1.GossipPhase) bool {
	return slices.Contains([]v1alpha1.GossipPhase{
		v1alpha1.GossipAccepting, v1alpha1.GossipSending, v1alpha1.GossipRequired,
	}, phase)
}

// gossipConfig is what the servers' configuration says of gossip in a phase. By default Consul requires encryption as soon as it
// has a key (https://developer.hashicorp.com/consul/docs/reference/agent/configuration-file/encryption).
func gossipConfig(phase v1alpha1.GossipPhase) map[string]any {
	if !HasGossipKey(phase) {
		return nil
	}
	return map[string]any{
		"encrypt_verify_incoming": phase == v1alpha1.GossipRequired,
		"encrypt_verify_outgoing": phase != v1alpha1.GossipAccepting,
	}
}

// giveKeyScript gives a server the keys in the Secret, whatever its volume has. If the Secret is gone, a server that has keys
// keeps them. What Serf remembers of addresses goes: by now they may belong to servers of another cluster.
const giveKeyScript = `umask 077
mkdir -p /consul/data/serf
cd /consul/data/serf
rm -f local.snapshot
if [ -e /consul/gossip/keyring ]; then
  cat /consul/gossip/keyring >local.keyring.new
  sync
  mv local.keyring.new local.keyring
  echo "written: serf/local.keyring"
elif [ ! -e local.keyring ]; then
  echo "the Secret with the gossip key is gone, and this server has no key yet"
  exit 1
fi
sync
`

// takeKeyScript takes the keys away: Consul would encrypt as long as the file is there.
const takeKeyScript = `rm -f /consul/data/serf/local.snapshot /consul/data/serf/local.keyring
sync
`

// prepareGossip gives the servers of a revision what they need in its phase. A cluster that never had a key needs nothing.
func prepareGossip(template *corev1.PodTemplateSpec, c *v1alpha1.ConsulCluster) {
	phase := GossipPhase(c)
	if phase == "" {
		return
	}
	annotateTemplate(template, v1alpha1.AnnotationGossip, string(phase))
	pod := &template.Spec
	prepare := initContainer(ContainerGossipKey, takeKeyScript, pod.Containers[0])
	if HasGossipKey(phase) {
		prepare = initContainer(ContainerGossipKey, giveKeyScript, pod.Containers[0])
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: volumeGossip, VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{
				SecretName: GossipSecretName(c.Name),
				Items:      []corev1.KeyToPath{{Key: keyKeyring, Path: keyKeyring}},
				Optional:   ptr.To(true), // a server that has the key starts without it
			},
		}})
		prepare.VolumeMounts = append(prepare.VolumeMounts, corev1.VolumeMount{
			Name: volumeGossip, MountPath: pathGossip, ReadOnly: true,
		})
	}
	pod.InitContainers = append(slices.Clone(pod.InitContainers), prepare) // the user's may have to prepare the volume
}

// annotateTemplate adds an annotation to pods, and leaves those of the user's template alone.
func annotateTemplate(template *corev1.PodTemplateSpec, key, value string) {
	annotations := map[string]string{}
	maps.Copy(annotations, template.Annotations)
	annotations[key] = value
	template.Annotations = annotations
}

// GivenGossipKey reports whether the server of a pod has the gossip key, if it has started.
func GivenGossipKey(pod *corev1.Pod) bool {
	return HasGossipKey(v1alpha1.GossipPhase(pod.Annotations[v1alpha1.AnnotationGossip]))
}

// checkGossip refuses keys of spec.config that say again, or otherwise, what spec.gossipEncryption says.
func checkGossip(c *v1alpha1.ConsulCluster, config map[string]any) error {
	if !HasGossipKey(GossipPhase(c)) && !ptr.Deref(c.Spec.GossipEncryption.Enabled, false) {
		return nil
	}
	switch written := gossipSetting(config); {
	case written == "":
		return nil
	case HasGossipKey(GossipPhase(c)):
		return fmt.Errorf("spec.config.%s: remove it, since spec.gossipEncryption encrypts gossip", written)
	default:
		return fmt.Errorf("spec.gossipEncryption.enabled: remove it, since spec.config.%s encrypts gossip, and the operator "+
			"cannot take that over", written)
	}
}

// gossipSetting is what a configuration says about the encryption of gossip, as it is written there; empty for nothing.
func gossipSetting(config map[string]any) string {
	for _, key := range []string{"encrypt", "encrypt_verify_incoming", "encrypt_verify_outgoing"} {
		if written, _, found := lookup(config, key); found {
			return written
		}
	}
	return ""
}

// UsesGossipKey reports whether a cluster has or had gossip encryption, or asks for it.
func UsesGossipKey(c *v1alpha1.ConsulCluster) bool {
	return GossipPhase(c) != "" || ptr.Deref(c.Spec.GossipEncryption.Enabled, false)
}

// ConnectsDatacenters reports whether servers take part in gossip between datacenters, which is off unless spec.config sets
// its port.
func ConnectsDatacenters(c *v1alpha1.ConsulCluster) bool {
	said, found := wanPort(c)
	number, isNumber := said.(json.Number)
	return found && (!isNumber || portNumber(number) > 0)
}

// wanPort is what spec.config says of the port for gossip between datacenters.
func wanPort(c *v1alpha1.ConsulCluster) (said any, found bool) {
	config, err := c.Spec.Config.Values()
	if err != nil {
		return nil, false // the spec is invalid, and nothing is done
	}
	_, said, found = lookup(config, "ports.serf_wan")
	return said, found
}
