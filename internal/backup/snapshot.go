package backup

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// SnapshotObservation is what is known of a ConsulSnapshot.
type SnapshotObservation struct {
	Snapshot *v1alpha1.ConsulSnapshot
	// Cluster is nil if there is none.
	Cluster *v1alpha1.ConsulCluster
	Job     Job
	// All are the ConsulSnapshots of the namespace.
	All []v1alpha1.ConsulSnapshot
	// Saving are the UIDs of those with a Job that goes on.
	Saving []types.UID
	// Image is the operator's own; empty if it does not know it.
	Image string
}

// Snapshot decides what becomes of a ConsulSnapshot that is not completed. What its Job has done counts whatever has become of
// the cluster.
func Snapshot(o SnapshotObservation) Decision {
	if IsReplaced(o.Snapshot) && !o.Job.Finished {
		return fail(reason.SnapshotFails, "the next run of its schedule takes its place (concurrency: Replace)")
	}
	if o.Job.Exists {
		return o.ofJob()
	}
	if blocked := blocked(o.Cluster, o.Snapshot.Spec.ClusterName, o.Image, o.Job); blocked != nil {
		return *blocked
	}
	queued := func(format string, args ...any) Decision {
		decision := wait(reason.SnapshotQueued, format, args...)
		decision.RequeueAfter = lookAgain
		return decision
	}
	first := o.first()
	switch {
	case o.Snapshot.Spec.Verify == v1alpha1.VerifyRestore && !resources.CanDecrypt(o.Cluster):
		return wait(reason.SnapshotKeyMissing, "verify: Restore needs spec.snapshots.encryption.identitySecretRef of ConsulCluster %s",
			o.Cluster.Name)
	case first != "":
		return queued("it waits for %s: of a cluster, one Job runs at a time", first)
	case o.Cluster.Status.Access == nil:
		return queued("it waits until ConsulCluster %s has its first leader", o.Cluster.Name)
	}
	decision := work(reason.SavingSnapshot, "creating the Job")
	decision.Create = resources.ContainerSave
	return decision
}

// IsReplaced reports whether another run of its schedule takes the place of a snapshot.
func IsReplaced(s *v1alpha1.ConsulSnapshot) bool {
	_, is := s.Annotations[v1alpha1.AnnotationReplaced]
	return is
}

// first is what has to be completed first; empty if nothing has: a restore for which the cluster has made way, unless this
// snapshot is a part of it, then a ConsulSnapshot that is being saved, then the one that was asked for first. One that only a
// person can help holds up nobody.
func (o SnapshotObservation) first() string {
	restore, restoring := resources.RestoringBy(o.Cluster)
	isPart := restoring && o.Snapshot.Name == restore.SnapshotBefore()
	if restoring && !isPart {
		return "ConsulRestore " + restore.Name
	}
	before := slices.DeleteFunc(slices.Clone(o.All), func(s v1alpha1.ConsulSnapshot) bool {
		isSaving := slices.Contains(o.Saving, s.UID)
		return s.Spec.ClusterName != o.Snapshot.Spec.ClusterName || s.Name == o.Snapshot.Name || isCompleted(s) ||
			meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionStalled) ||
			!isSaving && (isPart || askedFor(*o.Snapshot, s) < 0)
	})
	if len(before) == 0 {
		return ""
	}
	return "ConsulSnapshot " + slices.MinFunc(before, askedFor).Name
}

// askedFor compares the order in which ConsulSnapshots were asked for.
func askedFor(a, b v1alpha1.ConsulSnapshot) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

// lookAgain is how soon to look again at what a person has to put right, and that no event tells of.
const lookAgain = time.Minute

// blocked is why no Job can be created; nil if one can.
func blocked(cluster *v1alpha1.ConsulCluster, name, image string, job Job) *Decision {
	why := func(r reason.Reason, format string, args ...any) *Decision {
		decision := wait(r, format, args...)
		decision.RequeueAfter = lookAgain
		return &decision
	}
	switch {
	case cluster == nil || !cluster.DeletionTimestamp.IsZero():
		return why(reason.ClusterMissing, "there is no ConsulCluster %s in this namespace", name)
	case cluster.Spec.Malformed != "":
		return why(reason.InvalidSpec, "ConsulCluster %s: %s", name, cluster.Spec.Malformed)
	case cluster.Spec.Snapshots.Destination == nil:
		return why(reason.NoDestination, "ConsulCluster %s has no spec.snapshots.destination: say where its snapshots are kept", name)
	case image == "":
		return why(reason.JobRefused, "the operator was started without its flag --job-image: set it in its Deployment")
	case job.Taken != "":
		return why(reason.NameTaken, "the Job %s exists and belongs to %s: delete it, or create this object under another name",
			job.Name, job.Taken)
	case job.Refused != "":
		return why(reason.JobRefused, "%s", job.Refused)
	}
	return nil
}

// ofJob is what its Job says.
func (o SnapshotObservation) ofJob() Decision {
	switch job := o.Job; {
	case !job.Finished:
		return job.goesOn(reason.SavingSnapshot, "the Job saves and verifies the snapshot")
	case !job.Succeeded:
		return fail(job.failure(resources.ContainerSave, resources.ContainerVerify))
	}
	if _, left := o.Job.Outcomes[resources.ContainerSave]; !left {
		return fail(reason.SnapshotFails, "the Job succeeded, and its pod is gone with what it said: create another ConsulSnapshot")
	}
	return Decision{State: Succeeded, Reason: reason.SnapshotSaved, Message: "the snapshot is stored and verified"}
}
