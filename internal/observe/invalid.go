package observe

import (
	"cmp"
	"fmt"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// invalid returns why a spec that passed admission cannot be applied; nil if it can. CEL cannot see annotations, other
// objects, or the parts of a pod that the API server checks only when a pod is created.
func invalid(s *Snapshot) *plan.Problem {
	c := s.Cluster
	if c.Spec.Malformed != "" {
		return &plan.Problem{Reason: reason.InvalidSpec, Message: c.Spec.Malformed}
	}
	if s.incomplete != nil {
		return s.incomplete
	}
	if err := resources.CheckConfig(c); err != nil {
		return &plan.Problem{Reason: reason.InvalidSpec, Message: err.Error()}
	}
	if problem := checkTLS(s); problem != nil {
		return problem
	}
	if err := resources.CheckNetworkPolicy(c); err != nil {
		return &plan.Problem{Reason: reason.InvalidSpec, Message: err.Error()}
	}
	if field := reserved(c); field != "" {
		return &plan.Problem{Reason: reason.InvalidSpec, Message: field + " belongs to the operator: choose another one"}
	}
	if !s.Spec.Bootstrapped && s.UserSecrets.problem != nil {
		return s.UserSecrets.problem
	}
	return downgrade(s)
}

// downgrade refuses a lower minor version than that of any server in Raft: Consul does not support downgrades, its data may
// be in a newer format. A version that never ran does not count, so that a mistyped version can be reverted.
func downgrade(s *Snapshot) *plan.Problem {
	c := s.Cluster
	if c.Annotations[v1alpha1.AnnotationAllowDowngrade] == c.Spec.Version {
		return nil
	}
	for _, server := range s.Servers {
		last := lastVersion(s, server)
		if resources.IsDowngrade(c.Spec.Version, last) {
			return &plan.Problem{Reason: reason.VersionDowngrade, Message: fmt.Sprintf(
				"spec.version: %s is a downgrade, %s runs %s, and Consul does not support a lower minor version; "+
					"set it back, or annotate the cluster with %s=%s if you have a snapshot and know that they are compatible",
				c.Spec.Version, server.Name, last, v1alpha1.AnnotationAllowDowngrade, c.Spec.Version)}
		}
	}
	return nil
}

// lastVersion is the version that a server runs, or ran last while it does not answer; empty if it takes no part in the
// cluster. Without a leader nobody says who takes part: in a cluster that was bootstrapped, all servers may.
func lastVersion(s *Snapshot, server plan.Server) string {
	if server.Peer == nil && (s.Raft.Known || !s.Spec.Bootstrapped) {
		return ""
	}
	return cmp.Or(server.Agent.Version, LastStatus(s.Cluster.Status, server.Name).Version, server.Wrote)
}
