package observe

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// readRecords fills in what the operator has recorded in annotations, and says which record is damaged; nil if none is. An
// absent record is none that is damaged: it was not written yet.
func readRecords(s *Snapshot) *plan.Problem {
	next, err := nextSerial(s.Cluster)
	if err != nil {
		return damaged(v1alpha1.AnnotationNextSerial, err, fmt.Sprintf(
			"set it to a number above that of every server that this cluster ever had: kubectl annotate consulcluster %s "+
				"--overwrite %s=%d, or a higher number", s.Spec.Object, v1alpha1.AnnotationNextSerial, s.Spec.NextSerial))
	}
	s.Spec.NextSerial = max(s.Spec.NextSerial, next)
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
		if _, err := bootstrapExpect(s.Claims[server.Name]); err != nil {
			return damaged(v1alpha1.AnnotationBootstrapExpect, err, fmt.Sprintf(
				"it is on the volume claim of %s: set it to the value that the other first servers have", server.Name))
		}
	}
	return nil
}

func damaged(annotation string, err error, remedy string) *plan.Problem {
	return &plan.Problem{
		Reason:  reason.DamagedRecord,
		Message: fmt.Sprintf("annotation %s is damaged (%s); nothing is changed until it is repaired: %s", annotation, err, remedy),
	}
}

// nextSerial is the serial that is recorded for the next server; 0 before the first one.
func nextSerial(c *v1alpha1.ConsulCluster) (int, error) {
	text, recorded := c.Annotations[v1alpha1.AnnotationNextSerial]
	if !recorded {
		return 0, nil
	}
	return natural(text)
}

// bootstrapExpect is what a founder was created with; 0 for all later servers.
func bootstrapExpect(claim *corev1.PersistentVolumeClaim) (int, error) {
	text, recorded := claim.Annotations[v1alpha1.AnnotationBootstrapExpect]
	if !recorded {
		return 0, nil
	}
	return natural(text)
}

func natural(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", text)
	}
	return int(n), nil
}
