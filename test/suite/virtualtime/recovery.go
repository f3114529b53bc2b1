package virtualtime

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// recoveryOf is the recovery that a ConsulCluster records; nil if there is none.
func recoveryOf(c *v1alpha1.ConsulCluster) *resources.Recovery {
	recovery, err := resources.RecoveryOf(c)
	if err != nil {
		panic(err) // no scenario damages it
	}
	return recovery
}

// adoptRecovery takes over what the ConsulCluster's record says of a recovery.
func (c *cluster) adoptRecovery(r *resources.Recovery) {
	s := &c.state
	s.Survivor = sim.Nobody
	if r == nil {
		r = &resources.Recovery{}
	} else if i := c.named(r.Survivor); i >= 0 {
		s.Survivor = int8(i) //nolint:gosec // at most MaxServers
	}
	for i := range c.servers[:s.N] {
		x := &s.Servers[i]
		x.Lost = slices.Contains(r.Lost, c.servers[i].name)
		if r.ID != c.recovery {
			x.Rescued = false // another recovery has another folder on the disk
		}
	}
	c.recovery = r.ID
}

// rescueOf is what a pod does for the recovery that is under way: its init container says so.
func (c *cluster) rescueOf(pod *corev1.Pod) sim.Rescue {
	if id := pod.Annotations[v1alpha1.AnnotationRecovery]; id == "" || id != c.recovery {
		return sim.NoRescue
	}
	for _, container := range pod.Spec.InitContainers {
		for _, env := range container.Env {
			if env.Name == resources.EnvVoter && env.Value == resources.NodeID(c.uid, pod.Name) {
				return sim.SavesAndLeads
			}
		}
	}
	return sim.Saves
}
