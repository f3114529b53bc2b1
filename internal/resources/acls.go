package resources

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

const (
	// volumeACL is a name that no user's volume has.
	volumeACL = "operator-acl-tokens"
	pathACL   = "/consul/acl"
)

// ACLPhase returns the phase of ACLs that servers have, or are getting: empty for a cluster that never had ACLs. It is recorded
// as GossipPhase is.
func ACLPhase(c *v1alpha1.ConsulCluster) v1alpha1.ACLPhase {
	return v1alpha1.ACLPhase(phaseOf(c, v1alpha1.AnnotationACLs, string(c.Status.ACLs)))
}

// ACLRecordLost reports whether only the status has the phase.
func ACLRecordLost(c *v1alpha1.ConsulCluster) bool {
	_, recorded := recordOf(c, v1alpha1.AnnotationACLs)
	return !recorded && ACLPhase(c) != ""
}

// HasACLs reports whether servers check tokens.
func HasACLs(c *v1alpha1.ConsulCluster) bool {
	return slices.Contains([]v1alpha1.ACLPhase{v1alpha1.ACLsAllow, v1alpha1.ACLsDeny}, ACLPhase(c))
}

// PodHasACLs reports whether the server of a pod checks tokens. Anybody who may change a pod can change its annotations, and
// nobody its volumes.
func PodHasACLs(pod *corev1.Pod) bool { return slices.ContainsFunc(pod.Spec.Volumes, isACLVolume) }

func isACLVolume(v corev1.Volume) bool { return v.Name == volumeACL }

// ManagementSecretName returns the name of the Secret with the management token.
func ManagementSecretName(cluster string) string { return cluster + "-bootstrap-acl-token" }

// TokensSecretName returns the name of the Secret with the tokens that servers and the operator use.
func TokensSecretName(cluster string) string { return cluster + "-acl-tokens" }

// aclConfig is what the servers' configuration says of ACLs in a phase.
func aclConfig(c *v1alpha1.ConsulCluster) map[string]any {
	if !HasACLs(c) {
		return nil
	}
	policy := v1alpha1.ACLDefaultAllow
	if ACLPhase(c) == v1alpha1.ACLsDeny {
		policy = v1alpha1.ACLDefaultDeny
	}
	return map[string]any{"acl": map[string]any{"enabled": true, "default_policy": string(policy)}}
}

// prepareACLs gives the servers of a revision their tokens.
func prepareACLs(template *corev1.PodTemplateSpec, c *v1alpha1.ConsulCluster) {
	if phase := ACLPhase(c); phase != "" {
		annotateTemplate(template, v1alpha1.AnnotationACLs, string(phase))
	}
	if !HasACLs(c) {
		return
	}
	pod := &template.Spec
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: volumeACL, VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{
			SecretName: TokensSecretName(c.Name), Items: []corev1.KeyToPath{
				{Key: keyServers, Path: keyServers}, {Key: keyManagement, Path: keyManagement}, {Key: keyRecovery, Path: keyRecovery},
			},
		},
	}})
	consul := &pod.Containers[0]
	consul.VolumeMounts = append(consul.VolumeMounts, corev1.VolumeMount{Name: volumeACL, MountPath: pathACL, ReadOnly: true})
	consul.Args = append(consul.Args, "-config-file="+pathACL+"/"+keyServers)
	// For `kubectl exec … consul`: whoever may do that can read the token anyway. Users may name another file.
	file := corev1.EnvVar{Name: "CONSUL_HTTP_TOKEN_FILE", Value: pathACL + "/" + keyManagement}
	consul.Env = append([]corev1.EnvVar{file}, consul.Env...)
}

// checkACLs refuses keys of spec.config that say again, or otherwise, what spec.acls says.
func checkACLs(c *v1alpha1.ConsulCluster, config map[string]any) error {
	if !UsesACLs(c) {
		return nil
	}
	for _, key := range []string{
		"acl.enabled", "acl.default_policy", "acl.tokens", "acl_datacenter", "acl_default_policy", "acl_master_token",
		"acl_agent_token", "acl_agent_master_token", "acl_token", "primary_datacenter",
	} {
		switch written, _, found := lookup(config, key); {
		case found && HasACLs(c):
			return fmt.Errorf("spec.config.%s: remove it, since spec.acls configures ACLs", written)
		case found:
			return fmt.Errorf("spec.acls.enabled: remove it, since spec.config.%s configures ACLs, and the operator cannot take "+
				"that over", written)
		}
	}
	if ConnectsDatacenters(c) {
		return errors.New("spec.config.ports.serf_wan: remove it, or set spec.acls.enabled to false, since datacenters that are " +
			"connected have the ACLs of one of them")
	}
	return nil
}

// UsesACLs reports whether a cluster has ACLs, or asks for them.
func UsesACLs(c *v1alpha1.ConsulCluster) bool {
	return HasACLs(c) || ptr.Deref(c.Spec.ACLs.Enabled, false)
}
