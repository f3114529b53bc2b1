package observe

import (
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// secureNewCluster has a cluster closed, and its gossip encrypted, and gives it TLS and ACLs, from the beginning where the spec
// says nothing. A cluster that has anything already, or had a leader, stays as it is.
func secureNewCluster(s *Snapshot) {
	c := s.Cluster
	s.Spec.Network.New = true
	s.Spec.Gossip.Target = gossipOfNew(c, s.Spec.Gossip.Target)
	s.Spec.TLS.Target = tlsOfNew(c, s.Spec.TLS.Target)
	s.Spec.ACLs.Target = aclsOfNew(c, s.Spec.ACLs.Target)
}

func gossipOfNew(c *v1alpha1.ConsulCluster, target plan.GossipPhase) plan.GossipPhase {
	ask := func(s *v1alpha1.ConsulClusterSpec) { s.GossipEncryption.Enabled = new(true) }
	if resources.GossipPhase(c) == "" && c.Spec.GossipEncryption.Enabled == nil && isFreeFor(c, ask) {
		return plan.GossipRequired
	}
	return target
}

func tlsOfNew(c *v1alpha1.ConsulCluster, target plan.TLSPhase) plan.TLSPhase {
	ask := func(s *v1alpha1.ConsulClusterSpec) { s.TLS.Enabled = new(true) }
	if resources.TLSPhase(c) == "" && c.Spec.TLS.Enabled == nil && isFreeFor(c, ask) {
		target = plan.TLSRequired
	}
	if target == plan.TLSRequired && ptr.Deref(c.Spec.TLS.HTTPSOnly, true) {
		return plan.TLSOnly
	}
	return target
}

// aclsOfNew denies by default: there is nobody who has to be told before.
func aclsOfNew(c *v1alpha1.ConsulCluster, target plan.ACLPhase) plan.ACLPhase {
	ask := func(s *v1alpha1.ConsulClusterSpec) { s.ACLs.Enabled = new(true) }
	if resources.ACLPhase(c) == "" && c.Spec.ACLs.Enabled == nil && isFreeFor(c, ask) {
		target = plan.ACLsAllow
	}
	if target == plan.ACLsAllow && c.Spec.ACLs.DefaultPolicy != v1alpha1.ACLDefaultAllow {
		return plan.ACLsDeny
	}
	return target
}

// isFreeFor reports whether a spec leaves what it could ask for, and the names that this needs, to the operator.
func isFreeFor(c *v1alpha1.ConsulCluster, ask func(*v1alpha1.ConsulClusterSpec)) bool {
	asks := c.DeepCopy()
	ask(&asks.Spec)
	return resources.CheckConfig(asks) == nil && reserved(asks) == ""
}
