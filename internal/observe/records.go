package observe

import (
	"fmt"
	"strconv"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// recordsCount reports whether the records on a ConsulCluster were written for it. They travel with a copy of it, under
// another name, in another namespace or from a backup, and its UID does not. Records without a UID were written before there
// was one: they count if the cluster has objects of its own, or a status, which is not copied.
func recordsCount(c *v1alpha1.ConsulCluster, present bool) bool {
	if of, bound := c.Annotations[v1alpha1.AnnotationRecordsOf]; bound {
		return of == string(c.UID)
	}
	return present || resources.HasOwnStatus(c) && (wasLed(c) || len(c.Status.Servers) > 0)
}

// wasLed reports whether the status is a witness that a leader was seen: a person who replaces the object takes its
// annotations away, and not its status.
func wasLed(c *v1alpha1.ConsulCluster) bool {
	return resources.HasOwnStatus(c) && (c.Status.Term > 0 || c.Status.Leader != "")
}

// readRecords fills in what the records say, and says which one is damaged without which it is not known which servers may
// start; nil if none is.
func readRecords(s *Snapshot) *plan.Problem {
	s.Copied = !recordsCount(s.Cluster, s.present)
	recorded := !s.Copied && s.Cluster.Annotations[v1alpha1.AnnotationBootstrapped] != ""
	adopted := resources.Identity(s.Cluster) != s.Cluster.UID // its servers have data
	s.Spec.Bootstrapped = recorded || adopted || wasLed(s.Cluster)
	s.Spec.Unrecorded = s.Spec.Bootstrapped && !recorded
	if _, err := plan.ParseGossipPhase(string(resources.GossipPhase(s.Cluster))); err != nil {
		return damaged(v1alpha1.AnnotationGossip, err, "set it to the phase that the servers' pods have in the same annotation")
	}
	if _, err := plan.ParseTLSPhase(string(resources.TLSPhase(s.Cluster))); err != nil {
		return damaged(v1alpha1.AnnotationTLS, err, "set it to the phase that the servers' pods have in the same annotation")
	}
	if _, err := plan.ParseACLPhase(string(resources.ACLPhase(s.Cluster))); err != nil {
		return damaged(v1alpha1.AnnotationACLs, err, "set it to the phase that the servers' pods have in the same annotation")
	}
	if s.Copied {
		return damagedFounder(s)
	}
	recovery, err := resources.RecoveryOf(s.Cluster)
	if err != nil {
		return damaged(v1alpha1.AnnotationRecovery, err, fmt.Sprintf(
			"a lost quorum was being recovered: restore the annotation, or let the operator assess the loss again: "+
				"kubectl annotate consulcluster %s %s-", s.Spec.Object, v1alpha1.AnnotationRecovery))
	}
	s.Spec.Recovery = (*plan.Recovery)(recovery)
	return damagedFounder(s)
}

// damagedFounder says which founder of a cluster without a leader so far has a damaged record; nil if none.
func damagedFounder(s *Snapshot) *plan.Problem {
	if s.Spec.Bootstrapped {
		return nil
	}
	for _, server := range s.Servers {
		if _, err := natural(s.Claims[server.Name], v1alpha1.AnnotationBootstrapExpect); err != nil {
			return damaged(v1alpha1.AnnotationBootstrapExpect, err, fmt.Sprintf(
				"it is on the volume claim of %s: set it to the value that the other first servers have", server.Name))
		}
	}
	return nil
}

func damaged(annotation string, err error, remedy string) *plan.Problem {
	return &plan.Problem{
		Reason:  reason.DamagedRecord,
		Message: fmt.Sprintf("annotation %s is damaged (%s): %s", annotation, err, remedy),
	}
}

// natural is the number in an annotation; 0 if it was not written.
func natural(o client.Object, annotation string) (int, error) {
	text, recorded := o.GetAnnotations()[annotation]
	if !recorded {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n >= resources.Serials {
		return 0, fmt.Errorf("%.40q is not a number from 0 to %d", text, resources.Serials-1)
	}
	return int(n), nil
}
