package backup

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// RestoreObservation is what is known of a ConsulRestore.
type RestoreObservation struct {
	Restore *v1alpha1.ConsulRestore
	// Cluster is nil if there is none.
	Cluster *v1alpha1.ConsulCluster
	// Source is the ConsulSnapshot that spec.from names, and Before the one of the present data; nil if there is none.
	Source, Before *v1alpha1.ConsulSnapshot
	Job            Job
	// Inspection is the Job that reads and checks what is restored, before the cluster makes way.
	Inspection Job
	Image      string
}

// RestoreDecision is what to do for a ConsulRestore, and what to say.
type RestoreDecision struct {
	Decision
	// TakeBefore is to create the ConsulSnapshot of the present data.
	TakeBefore bool
	// Object is what is restored, and SHA256 the sum that it has to have; empty if they are not known.
	Object, SHA256 string
	// NextSerial is the first serial that no server in the snapshot has, if Inspected.
	NextSerial int
	Inspected  bool
	// Prepared reports whether everything is there that the restore needs, and Restored whether Consul has restored it.
	Prepared, Restored bool
	// DataUnknown reports whether nobody knows what the servers have.
	DataUnknown bool
}

// Restore decides what becomes of a ConsulRestore that is not completed. Once the cluster has made way for it, it goes on or
// fails: the cluster changes nothing meanwhile.
func Restore(o RestoreObservation) RestoreDecision {
	d := o.decide()
	if o.hasWay() && d.State == Waiting {
		d.Decision = fail(d.Reason, d.Message+"; nothing was changed")
	}
	d.DataUnknown = d.State == Failed && d.Reason == reason.RestoreIncomplete
	return d
}

func (o RestoreObservation) decide() RestoreDecision {
	switch {
	case o.Restore.Status.RestoredAt != nil: // whatever has become of the Job
		return RestoreDecision{Decision: o.settle(), Restored: true}
	case o.Job.Exists:
		d := RestoreDecision{Prepared: true}
		d.Decision, d.Restored = o.ofJob()
		return d
	case o.Restore.Status.StartedAt != nil:
		return RestoreDecision{Decision: fail(reason.RestoreIncomplete,
			"the Job is gone, and nobody knows what it has done: "+o.tryAgain())}
	}
	if refused := o.refused(); refused != nil {
		return RestoreDecision{Decision: *refused}
	}
	d := RestoreDecision{}
	if missing := o.source(&d); missing != nil {
		d.Decision = *missing
		return d
	}
	if o.Restore.Status.PreparedAt == nil {
		o.inspect(&d)
		return d
	}
	d.Prepared = true
	if !o.hasWay() {
		why, message := readyOf(o.Cluster.Status.Conditions)
		d.Decision = wait(reason.RestoreQueued, "it begins when ConsulCluster %s has a stable leader, no server retires and no "+
			"rotation of its ACL tokens is under way (%s: %s)", o.Cluster.Name, why, message)
		return d
	}
	o.begin(&d)
	return d
}

// refused is why it cannot be restored, or not yet; nil if it can.
func (o RestoreObservation) refused() *Decision {
	if blocked := blocked(o.Cluster, o.Restore.Spec.ClusterName, o.Image, o.Job); blocked != nil {
		return blocked
	}
	var failure Decision
	switch _, wasCompleted := o.Restore.Annotations[v1alpha1.AnnotationCompleted]; {
	case wasCompleted:
		failure = fail(reason.SnapshotFails, "it is a copy of a ConsulRestore that was completed, such as from a backup: create "+
			"another one, without the annotation "+v1alpha1.AnnotationCompleted)
	case !resources.IsRestoreOf(o.Cluster, o.Restore):
		failure = fail(reason.ClusterMissing, fmt.Sprintf("it is older than ConsulCluster %s, or of a former one of this name: create "+
			"another ConsulRestore", o.Cluster.Name))
	default:
		return nil
	}
	return &failure
}

func (o RestoreObservation) founds() bool {
	return o.Cluster != nil && resources.IsFoundingRestore(o.Cluster, o.Restore)
}

// hasWay reports whether the cluster has made way for it.
func (o RestoreObservation) hasWay() bool {
	return o.Cluster != nil && resources.HasWay(o.Cluster, o.Restore)
}

// begin saves the present data, and creates the Job.
func (o RestoreObservation) begin(d *RestoreDecision) {
	d.Decision = work(reason.SavingSnapshot, "saving the present data")
	switch before := o.Before; {
	case o.Restore.Spec.SkipSnapshot:
	case before == nil:
		d.TakeBefore = true
		return
	case isGoing(*before) && !meta.IsStatusConditionTrue(before.Status.Conditions, v1alpha1.ConditionStalled):
		d.Message = fmt.Sprintf("ConsulSnapshot %s saves the present data", before.Name)
		return
	case !isGood(*before) || before.Spec.ClusterName != o.Cluster.Name:
		why, message := readyOf(before.Status.Conditions)
		d.Decision = fail(why, fmt.Sprintf("ConsulSnapshot %s of the present data failed, so nothing was restored: %s; to restore "+
			"without it, create another ConsulRestore with skipSnapshot: true", before.Name, message))
		return
	}
	d.Decision = work(reason.Restoring, "creating the Job")
	d.Create = resources.ContainerRestore
}

// inspect reads the snapshot before the cluster makes way for it, or before a new one has its first server.
func (o RestoreObservation) inspect(d *RestoreDecision) {
	remedy := "; nothing was changed"
	if o.founds() {
		remedy = "; no server was created: correct spec.bootstrap.fromSnapshot, and delete this ConsulRestore to try again"
	}
	outcome, left := o.Inspection.Outcomes[resources.ContainerInspect]
	switch job := o.Inspection; {
	case !job.Exists:
		if blocked := blocked(o.Cluster, o.Restore.Spec.ClusterName, o.Image, job); blocked != nil {
			d.Decision = *blocked
			return
		}
		d.Decision = work(reason.InspectingSnapshot, "creating the Job that reads the snapshot")
		d.Create = resources.ContainerInspect
	case !job.Finished:
		d.Decision = job.goesOn(reason.InspectingSnapshot, "the Job reads and checks the snapshot")
	case !job.Succeeded:
		why, message := job.failure(resources.ContainerInspect)
		d.Decision = fail(why, message+remedy)
	case !left:
		d.Decision = fail(reason.SnapshotFails,
			"the Job that reads the snapshot succeeded, and its pod is gone with what it said"+remedy)
	default:
		d.Prepared, d.Inspected = true, true
		for _, server := range outcome.Servers {
			if serial, ok := resources.Serial(o.Cluster.Name, server.Name); ok {
				d.NextSerial = max(d.NextSerial, serial+1)
			}
		}
		d.Decision = work(reason.RestoreQueued, "the snapshot can be restored")
	}
}

// source fills in what is restored, or says what is missing.
func (o RestoreObservation) source(d *RestoreDecision) *Decision {
	from := o.Restore.Spec.From
	missing := func(r reason.Reason, format string, args ...any) *Decision {
		decision := wait(r, format, args...)
		return &decision
	}
	if from.Object != "" {
		d.Object, d.SHA256 = from.Object, from.SHA256
		return nil
	}
	store := resources.SnapshotStore(o.Cluster)
	switch s := o.Source; {
	case s == nil:
		return missing(reason.SnapshotMissing, "there is no ConsulSnapshot %s in this namespace", from.SnapshotName)
	case s.Status.CompletedAt == nil:
		return missing(reason.SavingSnapshot, "ConsulSnapshot %s is being taken", s.Name)
	case s.Status.Verified == "":
		why, message := readyOf(s.Status.Conditions)
		return missing(why, "ConsulSnapshot %s has failed: %s", s.Name, message)
	case s.Status.Store != store:
		return missing(reason.SnapshotMissing, "ConsulSnapshot %s is in %s, and the destination of ConsulCluster %s is %s",
			s.Name, s.Status.Store, o.Cluster.Name, store)
	}
	d.Object, d.SHA256 = path.Clean(o.Source.Status.Object), o.Source.Status.SHA256
	return nil
}

// tryAgain says how a person restores once more. Another ConsulRestore does not found a cluster.
func (o RestoreObservation) tryAgain() string {
	if o.founds() {
		return "delete this ConsulRestore, and the operator creates it anew"
	}
	return "create another ConsulRestore"
}

// untouched are the reasons for which a Job fails before Consul was given all of the snapshot.
var untouched = []reason.Reason{
	reason.SnapshotDamaged, reason.SnapshotKeyMissing, reason.SnapshotMissing, reason.SnapshotUnfit, reason.StoreRefuses,
	reason.StoreUnreachable, reason.ConsulRefuses, reason.ConsulUnreachable,
}

// ofJob is what the Job says, and whether Consul has restored the snapshot.
func (o RestoreObservation) ofJob() (Decision, bool) {
	switch job := o.Job; {
	case !job.Finished:
		return job.goesOn(reason.Restoring, "the Job checks the snapshot, then Consul restores it"), false
	case job.Succeeded:
		return work(reason.Restoring, "Consul has restored the snapshot"), true
	}
	why, message := o.Job.failure(resources.ContainerRestore)
	if o.Job.NeverRan {
		return fail(reason.JobCannotStart, message+"; nothing was changed"), false
	}
	if slices.Contains(untouched, why) {
		return fail(why, message+"; nothing was changed"), false
	}
	return fail(reason.RestoreIncomplete,
		message+"; the data may have been replaced, perhaps on some servers only: "+o.tryAgain()), false
}

// settle waits until the cluster is as it should be again, and registered in its own catalog.
func (o RestoreObservation) settle() Decision {
	if o.Cluster == nil {
		return fail(reason.ClusterMissing, "the snapshot was restored, and the ConsulCluster is gone")
	}
	why, message := readyOf(o.Cluster.Status.Conditions)
	var absent []string
	for _, server := range o.Cluster.Status.Servers {
		if server.Catalog == v1alpha1.CatalogAbsent {
			absent = append(absent, server.Name)
		}
	}
	switch _, held := o.Cluster.Annotations[v1alpha1.AnnotationRestoring]; {
	case held, !meta.IsStatusConditionTrue(o.Cluster.Status.Conditions, v1alpha1.ConditionReady):
		return work(reason.Restoring, "the data is restored; ConsulCluster %s is put right (%s: %s)", o.Cluster.Name, why, message)
	case len(absent) > 0:
		return work(reason.WaitingForCatalog, "the data is restored; the leader registers %s in the catalog within a minute",
			strings.Join(absent, ", "))
	}
	return Decision{State: Succeeded, Reason: reason.Restored, Message: "the data is restored, and the cluster serves it"}
}

// readyOf is what an object says of itself.
func readyOf(conditions []metav1.Condition) (reason.Reason, string) {
	if ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); ready != nil {
		return reason.Reason(ready.Reason), ready.Message
	}
	return "Unknown", "the operator has not said anything of it yet"
}
