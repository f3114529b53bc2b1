package backup

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

const (
	// latestLook is how long a schedule is not looked at: the clock of the machine may be set.
	latestLook = time.Hour
	// deleteAgain is how long to wait before objects are deleted again that could not be.
	deleteAgain = 10 * time.Minute
	// mostDeleted is how many objects one Job deletes.
	mostDeleted = 50
)

// ScheduleObservation is what is known of a ConsulSnapshotSchedule.
type ScheduleObservation struct {
	Schedule *v1alpha1.ConsulSnapshotSchedule
	// Cluster is nil if there is none.
	Cluster *v1alpha1.ConsulCluster
	// Snapshots are those of this schedule, the newest first.
	Snapshots []v1alpha1.ConsulSnapshot
	// Deleting is the Job that deletes old objects.
	Deleting Job
	// Store is where the cluster's snapshots go.
	Store string
	// Restores are the ConsulRestores of the namespace: what they restore is not deleted meanwhile.
	Restores []v1alpha1.ConsulRestore
	Image    string
}

// ScheduleDecision is what to do for a ConsulSnapshotSchedule, and what to say.
type ScheduleDecision struct {
	Decision
	// Take is the time for which a snapshot is taken now; zero for none.
	Take time.Time
	// Replace are snapshots that go on, and whose place it takes.
	Replace []v1alpha1.ConsulSnapshot
	// Delete are snapshots whose objects a Job is to delete.
	Delete []v1alpha1.ConsulSnapshot
	// Forget are those whose objects are gone.
	Forget []v1alpha1.ConsulSnapshot
	// EndDeleting is to delete the Job that has ended.
	EndDeleting bool
	// ScheduledAt is the last time of the schedule that was looked at, and Missed how many runs were left out since the last one.
	ScheduledAt time.Time
	Missed      int
	// Next is when the next run is due; zero if none is.
	Next time.Time
}

// Schedule decides what becomes of a ConsulSnapshotSchedule.
func Schedule(o ScheduleObservation, now time.Time) ScheduleDecision {
	d := ScheduleDecision{}
	times, err := ParseTimes(o.Schedule.Spec, now)
	if err != nil {
		d.Decision = wait(reason.InvalidSpec, "%s", err)
		return d
	}
	if blocked := blocked(o.Cluster, o.Schedule.Spec.ClusterName, o.Image, Job{}); blocked != nil {
		d.Decision = *blocked
		return d
	}
	if o.Schedule.Spec.Suspend {
		d.Decision = Decision{State: Succeeded, Reason: reason.Suspended, Message: "no snapshots are taken or deleted"}
		return d
	}
	o.run(&d, times, now)
	o.retain(&d, times, now)
	d.Next = times.Next(now)
	d.Decision = o.tell(d)
	d.RequeueAfter = min(d.Next.Sub(now), latestLook)
	if d.Take.IsZero() && o.Deleting.Exists && !o.Deleting.Finished {
		d.RequeueAfter = often
	}
	return d
}

// run takes a snapshot if one is due.
func (o ScheduleObservation) run(d *ScheduleDecision, times Times, now time.Time) {
	last := o.lastScheduled(now)
	if last.IsZero() {
		last = o.Schedule.CreationTimestamp.Time
		if o.Schedule.Spec.Immediate {
			d.Take, d.ScheduledAt = now, now
			return
		}
	}
	due, before := times.Due(last, now)
	if due.IsZero() {
		return
	}
	d.ScheduledAt, d.Missed = due, before
	running := slices.DeleteFunc(slices.Clone(o.Snapshots), isCompleted)
	switch spec := o.Schedule.Spec; {
	case now.Sub(due) > startingDeadline(spec),
		len(running) > 0 && spec.Concurrency != v1alpha1.ConcurrencyReplace:
		d.Missed++
	default:
		d.Take, d.Replace = due, running
	}
}

// lastScheduled is the last time for which a snapshot was taken or left out; zero for never. The status may not have it yet. A
// time that is still to come was written by a clock that was wrong.
func (o ScheduleObservation) lastScheduled(now time.Time) time.Time {
	var last time.Time
	consider := func(at time.Time) {
		if at.After(last) && !at.After(now) {
			last = at
		}
	}
	if at := o.Schedule.Status.LastScheduledAt; at != nil {
		consider(at.Time)
	}
	for _, s := range o.Snapshots {
		consider(scheduledAt(s))
	}
	return last
}

// scheduledAt is the time for which a snapshot was taken; zero if it is of no schedule.
func scheduledAt(s v1alpha1.ConsulSnapshot) time.Time {
	at, err := time.Parse(time.RFC3339, s.Annotations[v1alpha1.AnnotationScheduledAt])
	if err != nil {
		return time.Time{}
	}
	return at
}

// IsOf reports whether a snapshot is one that a schedule has taken. A copy of one has another name.
func IsOf(schedule *v1alpha1.ConsulSnapshotSchedule, s v1alpha1.ConsulSnapshot) bool {
	return s.Spec.ClusterName == schedule.Spec.ClusterName && s.Labels[v1alpha1.LabelSchedule] == schedule.Name &&
		s.Name == SnapshotName(schedule.Name, scheduledAt(s))
}

func startingDeadline(spec v1alpha1.ConsulSnapshotScheduleSpec) time.Duration {
	if spec.StartingDeadline == nil {
		return v1alpha1.DefaultStartingDeadline
	}
	return spec.StartingDeadline.Duration
}

func isCompleted(s v1alpha1.ConsulSnapshot) bool {
	return s.Status.CompletedAt != nil || !s.DeletionTimestamp.IsZero()
}

func isGoing(s v1alpha1.ConsulSnapshot) bool { return !isCompleted(s) }

// isGood reports whether a snapshot is stored and verified.
func isGood(s v1alpha1.ConsulSnapshot) bool {
	return s.Status.Verified != "" && s.DeletionTimestamp.IsZero()
}

// retain deletes what need not be kept: first the objects, by a Job, then the ConsulSnapshots that tell of them.
func (o ScheduleObservation) retain(d *ScheduleDecision, times Times, now time.Time) {
	switch job := o.Deleting; {
	case job.Succeeded:
		for _, s := range o.Snapshots {
			if slices.Contains(job.Objects, s.Status.Object) && s.Status.Store == job.Store {
				d.Forget = append(d.Forget, s)
			}
		}
		d.EndDeleting = len(d.Forget) == 0
		return
	case job.Finished:
		d.EndDeleting = now.Sub(job.FinishedAt) > deleteAgain
		return
	case job.Exists, job.Taken != "", slices.ContainsFunc(o.Snapshots, isGoing):
		return
	}
	for _, s := range Surplus(o.Snapshots, o.Schedule.Spec.Retention, times.zone) {
		switch {
		case o.isNeeded(s):
		case s.Status.Object == "": // it never began
			d.Forget = append(d.Forget, s)
		case s.Status.Store == o.Store && len(d.Delete) < mostDeleted:
			d.Delete = append(d.Delete, s)
		}
	}
}

// isNeeded reports whether a ConsulRestore that is not completed restores a snapshot.
func (o ScheduleObservation) isNeeded(s v1alpha1.ConsulSnapshot) bool {
	return slices.ContainsFunc(o.Restores, func(r v1alpha1.ConsulRestore) bool {
		from := r.Spec.From
		return r.Status.CompletedAt == nil && (from.SnapshotName == s.Name || from.Object != "" && from.Object == s.Status.Object)
	})
}

// deletionFailure says why old objects could not be deleted; nil if they could, or were not. It lasts until they could be.
func (o ScheduleObservation) deletionFailure() *v1alpha1.SnapshotFailure {
	failure := func(why reason.Reason, message string) *v1alpha1.SnapshotFailure {
		return &v1alpha1.SnapshotFailure{Reason: string(orUnknown(why)), Message: message}
	}
	switch job := o.Deleting; {
	case job.Taken != "":
		return failure(reason.NameTaken, fmt.Sprintf("the Job %s belongs to %s: delete it", job.Name, job.Taken))
	case job.Refused != "":
		return failure(reason.JobRefused, job.Refused)
	case job.Succeeded:
		return nil
	case job.Finished:
		return failure(job.failure(resources.ContainerDelete))
	}
	return o.Schedule.Status.DeletionFailure
}

// tell says how the last snapshot is that was completed. While the next one is taken that stays so.
func (o ScheduleObservation) tell(d ScheduleDecision) Decision {
	next := "the next one is due at " + d.Next.UTC().Format(time.RFC3339)
	if failure := o.deletionFailure(); failure != nil {
		return fail(reason.Reason(failure.Reason), "old snapshots cannot be deleted: "+failure.Message)
	}
	if i := slices.IndexFunc(o.Snapshots, isGoing); i >= 0 &&
		meta.IsStatusConditionTrue(o.Snapshots[i].Status.Conditions, v1alpha1.ConditionStalled) {
		why, message := readyOf(o.Snapshots[i].Status.Conditions)
		return fail(why, fmt.Sprintf("ConsulSnapshot %s cannot be taken: %s; %s", o.Snapshots[i].Name, message, next))
	}
	i := slices.IndexFunc(o.Snapshots, isCompleted)
	switch {
	case i < 0 && (len(o.Snapshots) > 0 || !d.Take.IsZero()):
		return Decision{State: Working, Reason: reason.SavingSnapshot, Message: "the first snapshot is being taken; " + next}
	case i < 0:
		return Decision{State: Succeeded, Reason: reason.Scheduled, Message: next}
	case isGood(o.Snapshots[i]):
		return Decision{State: Succeeded, Reason: reason.Scheduled, Message: fmt.Sprintf("%s is good, %s", o.Snapshots[i].Name, next)}
	}
	why, message := readyOf(o.Snapshots[i].Status.Conditions)
	return fail(why, fmt.Sprintf("ConsulSnapshot %s failed: %s; %s", o.Snapshots[i].Name, message, next))
}
