package observe

import (
	"fmt"
	"math"
	"strconv"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// readSerial fills in the serial of the next server, and says how to repair its record if that is damaged; nil if it is not.
// Without it no server can be created, and everything else can go on. A record that is absent was not written yet.
func readSerial(s *Snapshot) *plan.Problem {
	next, err := natural(s.Cluster, v1alpha1.AnnotationNextSerial)
	if err != nil {
		return damaged(v1alpha1.AnnotationNextSerial, err, fmt.Sprintf(
			"set it to a number above that of every server that this cluster ever had: kubectl annotate consulcluster %s "+
				"--overwrite %s=%d, or a higher number", s.Spec.Object, v1alpha1.AnnotationNextSerial, s.Spec.NextSerial))
	}
	s.Spec.NextSerial = max(s.Spec.NextSerial, next)
	return nil
}

// readRecords fills in the recovery that is under way, and says which record is damaged without which it is not known which
// servers may start; nil if none is.
func readRecords(s *Snapshot) *plan.Problem {
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
	if err != nil {
		return 0, fmt.Errorf("%q is not a number from 0 to %d", text, math.MaxInt32)
	}
	return int(n), nil
}
