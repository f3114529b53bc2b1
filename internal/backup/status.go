package backup

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/internal/snapshot"
)

// SnapshotStatus returns the status of a ConsulSnapshot. It equals the last one if nothing that matters has changed.
func SnapshotStatus(o SnapshotObservation, d Decision, now time.Time) v1alpha1.ConsulSnapshotStatus {
	status := *o.Snapshot.Status.DeepCopy()
	status.ObservedGeneration = o.Snapshot.Generation
	if o.Job.Exists {
		status.StartedAt = &metav1.Time{Time: o.Job.StartedAt}
		status.Store, status.Object = o.Job.Store, strings.Join(o.Job.Objects, " ")
		status.Encrypted = resources.IsEncryptedObject(status.Object)
	}
	if d.State == Succeeded || d.State == Failed {
		status.CompletedAt = &metav1.Time{Time: now.Truncate(time.Second)}
	}
	if d.State == Succeeded {
		know(&status, o.Job.Outcomes[resources.ContainerSave])
		status.Verified = cmp.Or(o.Snapshot.Spec.Verify, v1alpha1.VerifyArchive)
	}
	set(&status.Conditions, conditions(d, o.Snapshot.Generation))
	return status
}

// know fills in what the Job says of a snapshot.
func know(status *v1alpha1.ConsulSnapshotStatus, saved snapshot.Outcome) {
	status.Index, status.Term = int64(saved.Index), int64(saved.Term) //nolint:gosec // Raft counts from 1
	status.Bytes, status.SHA256 = saved.Size, saved.SHA256
	status.Size = resource.NewQuantity(roundUp(saved.Size), resource.BinarySI).String()
	status.Datacenter, status.Keys = saved.Datacenter, int64(saved.Records["KVS"])
	status.Version = highest(saved.Servers)
}

// roundUp leaves so many digits that people can read a size: at least ten units, at most ten of the next one.
func roundUp(size int64) int64 {
	const next = 10 // bits
	for unit := int64(1) << next; ; unit <<= next {
		if size < 10*unit<<next || unit >= 1<<30 {
			return (size + unit - 1) / unit * unit
		}
	}
}

// highest is the highest version of some servers.
func highest(servers []snapshot.Server) string {
	var highest *version.Version
	for _, server := range servers {
		if v, err := version.ParseGeneric(server.Version); err == nil && (highest == nil || highest.LessThan(v)) {
			highest = v
		}
	}
	if highest == nil {
		return ""
	}
	return highest.String()
}

// conditions are Ready, Reconciling and Stalled, as kstatus defines them.
func conditions(d Decision, generation int64) (all []metav1.Condition) {
	stalled := d.State == Failed || d.State == Waiting && d.Reason.Stalls()
	for _, condition := range []struct {
		kind string
		is   bool
	}{
		{v1alpha1.ConditionReady, d.State == Succeeded},
		{v1alpha1.ConditionReconciling, d.State != Succeeded && !stalled},
		{v1alpha1.ConditionStalled, stalled},
	} {
		status := metav1.ConditionFalse
		if condition.is {
			status = metav1.ConditionTrue
		}
		all = append(all, metav1.Condition{
			Type: condition.kind, Status: status, Reason: string(orUnknown(d.Reason)), Message: d.Message, ObservedGeneration: generation,
		})
	}
	return all
}

// set sets conditions, each once: one that changed and changed back would have another time of transition.
func set(all *[]metav1.Condition, wanted []metav1.Condition) {
	for _, condition := range wanted {
		meta.SetStatusCondition(all, condition)
	}
}

// orUnknown has a condition have a reason: what a Job leaves behind may have none.
func orUnknown(r reason.Reason) reason.Reason {
	if _, known := reason.Of(r); !known {
		return reason.SnapshotFails
	}
	return r
}

// ScheduleStatus returns the status of a ConsulSnapshotSchedule. It equals the last one if nothing that matters has changed.
func ScheduleStatus(o ScheduleObservation, d ScheduleDecision) v1alpha1.ConsulSnapshotScheduleStatus {
	status := *o.Schedule.Status.DeepCopy()
	status.ObservedGeneration = o.Schedule.Generation
	status.Missed += int64(d.Missed)
	if !d.ScheduledAt.IsZero() {
		status.LastScheduledAt = &metav1.Time{Time: d.ScheduledAt}
	}
	status.DeletionFailure, status.NextAt = o.deletionFailure(), nil
	if !d.Next.IsZero() {
		status.NextAt = &metav1.Time{Time: d.Next}
	}
	if !d.Take.IsZero() {
		status.LastSnapshot = SnapshotName(o.Schedule.Name, d.Take)
	}
	status.Kept = 0
	for i := len(o.Snapshots) - 1; i >= 0; i-- { // the newest last
		if s := o.Snapshots[i]; isGood(s) {
			status.Kept++
			status.LastSucceeded, status.LastSucceededAt = s.Name, s.Status.CompletedAt
		}
	}
	wanted := conditions(d.Decision, o.Schedule.Generation)
	if i := slices.IndexFunc(o.Snapshots, isGoing); i >= 0 {
		reconciling := meta.FindStatusCondition(wanted, v1alpha1.ConditionReconciling)
		reconciling.Status, reconciling.Reason = metav1.ConditionTrue, string(reason.SavingSnapshot)
		reconciling.Message = fmt.Sprintf("ConsulSnapshot %s is being taken", o.Snapshots[i].Name)
	}
	set(&status.Conditions, wanted)
	return status
}

// RestoreStatus returns the status of a ConsulRestore. It equals the last one if nothing that matters has changed.
func RestoreStatus(o RestoreObservation, d RestoreDecision, now time.Time) v1alpha1.ConsulRestoreStatus {
	status := *o.Restore.Status.DeepCopy()
	status.ObservedGeneration = o.Restore.Generation
	at := &metav1.Time{Time: now.Truncate(time.Second)}
	status.Object = objectOf(o, d)
	if o.Before != nil && !o.Restore.Spec.SkipSnapshot {
		status.SnapshotBefore = o.Before.Name
	}
	if d.Prepared && status.PreparedAt == nil {
		status.PreparedAt = at
	}
	if d.Inspected {
		status.NextSerial = int32(d.NextSerial) //nolint:gosec // at most a million
	}
	if o.Job.Exists && status.StartedAt == nil {
		status.StartedAt = &metav1.Time{Time: o.Job.StartedAt}
	}
	status.DataUnknown = d.DataUnknown
	if d.Restored && status.RestoredAt == nil {
		status.RestoredAt = &metav1.Time{Time: o.Job.FinishedAt}
		status.Index = int64(o.Job.Outcomes[resources.ContainerRestore].Index) //nolint:gosec // Raft counts from 1
	}
	if d.State == Succeeded || d.State == Failed {
		status.CompletedAt = at
	}
	set(&status.Conditions, conditions(d.Decision, o.Restore.Generation))
	return status
}

// objectOf is what is restored: what is wanted, until there is a Job that does it.
func objectOf(o RestoreObservation, d RestoreDecision) string {
	switch was := o.Restore.Status; {
	case o.Job.Exists && was.StartedAt == nil:
		return strings.Join(o.Job.Objects, " ")
	case d.Object != "" && !o.Job.Exists:
		return d.Object
	default:
		return was.Object
	}
}
