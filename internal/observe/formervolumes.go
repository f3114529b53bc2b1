package observe

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// isLeft reports whether a claim is a server of a former cluster of this name. One that was set aside is not: its server had
// left.
func isLeft(c *v1alpha1.ConsulCluster, claim *corev1.PersistentVolumeClaim) bool {
	of := claim.Labels[v1alpha1.LabelClusterUID]
	return of != "" && of != string(c.UID) && claim.Labels[v1alpha1.LabelRetired] == "" && claim.DeletionTimestamp.IsZero() &&
		(metav1.GetControllerOf(claim) == nil || metav1.GetControllerOf(claim).Kind == "ConsulCluster")
}

// formerVolumes fills in the volumes of a former cluster that this one takes over.
func formerVolumes(s *Snapshot) {
	c := s.Cluster
	adopting := adopting(s)
	recorded := adopting != ""
	if !recorded && (c.Spec.Bootstrap.FromVolumes == nil || s.Spec.Bootstrapped) {
		return
	}
	former := &plan.FormerVolumes{Of: adopting, Recorded: recorded}
	s.Spec.FormerVolumes = former
	if !recorded {
		if former.Of, former.Missing = choose(s, c.Spec.Bootstrap.FromVolumes.ClusterUID); former.Missing != nil {
			return
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Left)) {
		if s.Left[name].Labels[v1alpha1.LabelClusterUID] == former.Of {
			takeOver(s, former, name)
		}
	}
}

// adopting is the UID of the former cluster whose volumes are being taken over; empty if there is none. The status says so as
// well: `kubectl replace` takes the annotations away.
func adopting(s *Snapshot) string {
	if of := s.Cluster.Annotations[v1alpha1.AnnotationAdopting]; of != "" && !s.Copied {
		return of
	}
	adopted := s.Cluster.Status.Adopted
	if adopted == nil || adopted.By != string(s.Cluster.UID) {
		return ""
	}
	for _, claim := range s.Left {
		if claim.Labels[v1alpha1.LabelClusterUID] == adopted.Of {
			return adopted.Of
		}
	}
	return ""
}

// takeOver adds a volume to those of a former cluster, or says why it cannot be one of them.
func takeOver(s *Snapshot, former *plan.FormerVolumes, name string) {
	claim := s.Left[name]
	if problem := olderThan(s, claim); problem != nil && !former.Recorded {
		former.Missing = problem
	}
	identity := string(resources.IdentityOf(claim))
	if former.Identity != "" && former.Identity != identity {
		former.Missing = &plan.Problem{Reason: reason.InvalidSpec, Message: fmt.Sprintf(
			"spec.bootstrap.fromVolumes: the annotation %s of volume claim %s differs from that of others: restore it",
			v1alpha1.AnnotationIdentity, name)}
	}
	former.Identity = identity
	former.Servers = append(former.Servers, name)
}

// olderThan says that the cluster is of an older minor version than the one that wrote the data on a volume.
func olderThan(s *Snapshot, claim *corev1.PersistentVolumeClaim) *plan.Problem {
	c, wrote := s.Cluster, claim.Annotations[v1alpha1.AnnotationVersion]
	if !resources.IsDowngrade(c.Spec.Version, wrote) || c.Annotations[v1alpha1.AnnotationAllowDowngrade] == c.Spec.Version {
		return nil
	}
	return &plan.Problem{Reason: reason.VersionDowngrade, Message: fmt.Sprintf(
		"spec.version: %s is a downgrade, Consul %s has written the volume of %s", c.Spec.Version, wrote, claim.Name)}
}

// choose returns the UID of the former cluster, or says what is missing.
func choose(s *Snapshot, wanted string) (string, *plan.Problem) {
	uids := map[string]bool{}
	for _, claim := range s.Left {
		uids[claim.Labels[v1alpha1.LabelClusterUID]] = true
	}
	all := slices.Sorted(maps.Keys(uids))
	problem := func(format string, args ...any) (string, *plan.Problem) {
		return "", &plan.Problem{Reason: reason.InvalidSpec, Message: "spec.bootstrap.fromVolumes" + fmt.Sprintf(format, args...)}
	}
	switch {
	case wanted != "" && !uids[wanted]:
		return problem(".clusterUID: there are no volume claims of a former cluster with this UID; there are those of %s",
			orNone(strings.Join(all, ", ")))
	case wanted != "":
		return wanted, nil
	case len(all) == 0:
		return problem(": no former cluster of this name has left volume claims in this namespace")
	case len(all) > 1:
		return problem(".clusterUID: there are volume claims of more than one former cluster: %s", strings.Join(all, ", "))
	}
	return all[0], nil
}

func orNone(list string) string {
	if list == "" {
		return "none"
	}
	return list
}

// identify takes the ids of the servers from their volumes, where record and status are lost.
func identify(s *Snapshot) {
	if resources.Identity(s.Cluster) != s.Cluster.UID {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.Claims)) {
		if identity := resources.IdentityOf(s.Claims[name]); identity != s.Cluster.UID {
			s.Cluster = s.Cluster.DeepCopy()
			s.Cluster.Status.Adopted = &v1alpha1.Adopted{By: string(s.Cluster.UID), Identity: string(identity)}
			return
		}
	}
}
