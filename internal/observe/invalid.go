package observe

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// invalid returns why a spec that passed admission cannot be applied; nil if it can. CEL cannot see annotations, other
// objects, or the parts of a pod that the API server checks only when a pod is created.
func invalid(c *v1alpha1.ConsulCluster, servers []plan.Server) *plan.Problem {
	if err := resources.CheckConfig(c); err != nil {
		return &plan.Problem{Reason: reason.InvalidSpec, Message: err.Error()}
	}
	if field := reserved(c.Spec.PodTemplate); field != "" {
		return &plan.Problem{Reason: reason.InvalidSpec, Message: field + " belongs to the operator: choose another one"}
	}
	return downgrade(c, servers)
}

// downgrade refuses a lower minor version than that of any server in Raft: Consul does not support downgrades, its data may
// be in a newer format. A version that never ran does not count, so that a mistyped version can be reverted.
func downgrade(c *v1alpha1.ConsulCluster, servers []plan.Server) *plan.Problem {
	wanted, err := version.ParseSemantic(c.Spec.Version)
	if err != nil || c.Annotations[v1alpha1.AnnotationAllowDowngrade] == c.Spec.Version {
		return nil
	}
	for _, s := range servers {
		running, err := version.ParseSemantic(strings.TrimSuffix(s.Agent.Version, "+ent"))
		if err != nil || s.Peer == nil {
			continue
		}
		if wanted.Major() < running.Major() || wanted.Major() == running.Major() && wanted.Minor() < running.Minor() {
			return &plan.Problem{Reason: reason.VersionDowngrade, Message: fmt.Sprintf(
				"spec.version: %s is a downgrade, %s runs %s, and Consul does not support a lower minor version; "+
					"set it back, or annotate the cluster with %s=%s if you have a snapshot and know that they are compatible",
				c.Spec.Version, s.Name, s.Agent.Version, v1alpha1.AnnotationAllowDowngrade, c.Spec.Version)}
		}
	}
	return nil
}
