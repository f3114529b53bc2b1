package observe

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// reserved returns a field of a cluster's pod template whose value is reserved for the operator; empty if there is none. The API
// server would refuse the pod, but perhaps only when a quorum is recovered, and a pod cannot be created because of its init
// container.
func reserved(c *v1alpha1.ConsulCluster) string {
	t := c.Spec.PodTemplate
	for _, list := range []struct {
		field      string
		containers []corev1.Container
	}{{"initContainers", t.InitContainers}, {"containers", t.Containers}} {
		for i, container := range list.containers {
			if resources.ReservedContainer(c, container.Name) {
				return fmt.Sprintf("spec.podTemplate.%s[%d].name: %s", list.field, i, container.Name)
			}
		}
	}
	for i, volume := range t.Volumes {
		if resources.ReservedVolume(c, volume.Name) {
			return fmt.Sprintf("spec.podTemplate.volumes[%d].name: %s", i, volume.Name)
		}
	}
	for i, mount := range t.VolumeMounts {
		if resources.ReservedPath(c, mount.MountPath) {
			return fmt.Sprintf("spec.podTemplate.volumeMounts[%d].mountPath: %s", i, mount.MountPath)
		}
	}
	for i, env := range t.Env {
		if resources.ReservedEnv(env.Name) {
			return fmt.Sprintf("spec.podTemplate.env[%d].name: %s", i, env.Name)
		}
	}
	return ""
}
