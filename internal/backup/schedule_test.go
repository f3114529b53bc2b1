package backup_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/backup"
	"github.com/consul-operator/consul-operator/internal/snapshot"
)

// hourly is a schedule that was created at noon.
func hourly(snapshots ...v1alpha1.ConsulSnapshot) backup.ScheduleObservation {
	schedule := &v1alpha1.ConsulSnapshotSchedule{
		ObjectMeta: metav1.ObjectMeta{Name: "hourly", Namespace: "default", CreationTimestamp: *at(noon)},
		Spec:       v1alpha1.ConsulSnapshotScheduleSpec{ClusterName: "consul", Schedule: "30 * * * *", TimeZone: "UTC"},
	}
	return backup.ScheduleObservation{
		Schedule: schedule, Cluster: aCluster(), Snapshots: snapshots, Store: "s3://backups", Image: "operator:1",
	}
}

func minutes(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

func TestSchedule(t *testing.T) {
	first := minutes(30)
	for name, c := range map[string]struct {
		now    time.Time
		o      backup.ScheduleObservation
		takes  time.Time
		missed int
		// replaces is how many that go on make room.
		replaces int
		reason   reason.Reason
		next     time.Time
	}{
		"not due yet":     {minutes(29), hourly(), time.Time{}, 0, 0, reason.Scheduled, first},
		"due":             {first, hourly(), first, 0, 0, reason.SavingSnapshot, minutes(90)},
		"due a while ago": {minutes(45), hourly(), first, 0, 0, reason.SavingSnapshot, minutes(90)},
		"taken":           {minutes(45), hourly(taken("1", first)), time.Time{}, 0, 0, reason.Scheduled, minutes(90)},
		"goes on":         {minutes(45), hourly(going("1", first)), time.Time{}, 0, 0, reason.SavingSnapshot, minutes(90)},
		"goes on, and the last one failed": {
			minutes(45), hourly(going("2", first), broken("1", noon)), time.Time{}, 0, 0, reason.StoreRefuses, minutes(90),
		},
		"a time to come": {minutes(45), hourly(taken("1", minutes(600))), first, 0, 0, reason.Scheduled, minutes(90)},
		"failed": {
			minutes(45), hourly(broken("1", first)), time.Time{}, 0, 0, reason.StoreRefuses, minutes(90),
		},
		"two were missed":    {minutes(155), hourly(), minutes(150), 2, 0, reason.SavingSnapshot, minutes(210)},
		"too late":           {minutes(45), late(hourly()), time.Time{}, 1, 0, reason.Scheduled, minutes(90)},
		"the last one is on": {minutes(90), hourly(going("1", first)), time.Time{}, 1, 0, reason.SavingSnapshot, minutes(150)},
		"it is replaced": {
			minutes(90), replacing(hourly(going("1", first))), minutes(90), 0, 1, reason.SavingSnapshot, minutes(150),
		},
		"immediate": {minutes(1), immediate(hourly()), minutes(1), 0, 0, reason.SavingSnapshot, first},
		"immediate, taken": {
			minutes(2), immediate(hourly(taken("1", minutes(1)))), time.Time{}, 0, 0, reason.Scheduled, first,
		},
		"suspended":  {minutes(45), suspended(hourly()), time.Time{}, 0, 0, reason.Suspended, time.Time{}},
		"no cluster": {minutes(45), alone(hourly()), time.Time{}, 0, 0, reason.ClusterMissing, time.Time{}},
		"no such time zone": {
			minutes(45), inZone(hourly(), "Mars/Olympus"), time.Time{}, 0, 0, reason.InvalidSpec, time.Time{},
		},
		"no such day": {
			minutes(45), with(hourly(), "0 0 30 2 *"), time.Time{}, 0, 0, reason.InvalidSpec, time.Time{},
		},
		"no such hour": {
			minutes(45), with(hourly(), "0 25 * * *"), time.Time{}, 0, 0, reason.InvalidSpec, time.Time{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			d := backup.Schedule(c.o, c.now)
			g.Expect(d.Take.Equal(c.takes)).To(BeTrue(), "takes %s", d.Take)
			g.Expect(d.Missed).To(Equal(c.missed))
			g.Expect(d.Replace).To(HaveLen(c.replaces))
			g.Expect(d.Reason).To(Equal(c.reason), d.Message)
			g.Expect(d.Next.Equal(c.next)).To(BeTrue(), "next at %s", d.Next)

			c.o.Schedule.Status = backup.ScheduleStatus(c.o, d) // and the cache does not have the snapshot yet
			again := backup.Schedule(c.o, c.now)
			g.Expect(again.Take).To(BeZero(), "no run is started twice")
			g.Expect(again.Missed).To(BeZero())
			g.Expect(backup.ScheduleStatus(c.o, again).Missed).To(Equal(c.o.Schedule.Status.Missed))
		})
	}
}

// A status that says the same is the same: each write of it has the schedule looked at again.
func TestTheStatusWhileASnapshotIsTaken(t *testing.T) {
	g := NewWithT(t)
	o := hourly(going("1", minutes(30)))
	o.Schedule.Status = backup.ScheduleStatus(o, backup.Schedule(o, minutes(31)))
	for i := range o.Schedule.Status.Conditions {
		o.Schedule.Status.Conditions[i].LastTransitionTime = *at(minutes(31)) // long ago
	}
	g.Expect(backup.ScheduleStatus(o, backup.Schedule(o, minutes(32)))).To(Equal(o.Schedule.Status))
}

// The interval of a schedule is the longer of the last one and the present one: after a weekend nothing is too old.
func TestIntervals(t *testing.T) {
	on := func(day, hour int) time.Time { return time.Date(2026, time.November, day, hour, 30, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		schedule string
		now      time.Time
		want     time.Duration
	}{
		"each hour":                         {"7 * * * *", on(25, 12), time.Hour},
		"on weekdays, Wednesday":            {"0 8 * * 1-5", on(25, 12), 24 * time.Hour},
		"on weekdays, Saturday":             {"0 8 * * 1-5", on(28, 12), 72 * time.Hour},
		"on weekdays, Monday after the run": {"0 8 * * 1-5", on(30, 12), 72 * time.Hour},
		"each month":                        {"0 0 1 * *", on(25, 12), 31 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			got := backup.Interval(v1alpha1.ConsulSnapshotScheduleSpec{Schedule: c.schedule}, c.now)
			NewWithT(t).Expect(got).To(Equal(c.want))
		})
	}
}

// A status that is lost starts no run twice: the snapshots tell.
func TestScheduleThatLostItsStatus(t *testing.T) {
	d := backup.Schedule(hourly(taken("1", minutes(30))), minutes(45))
	NewWithT(t).Expect(d.Take).To(BeZero())
}

func late(o backup.ScheduleObservation) backup.ScheduleObservation {
	o.Schedule.Spec.StartingDeadline = &metav1.Duration{Duration: 10 * time.Minute}
	return o
}

func replacing(o backup.ScheduleObservation) backup.ScheduleObservation {
	o.Schedule.Spec.Concurrency = v1alpha1.ConcurrencyReplace
	return o
}

func immediate(o backup.ScheduleObservation) backup.ScheduleObservation {
	o.Schedule.Spec.Immediate = true
	return o
}

func suspended(o backup.ScheduleObservation) backup.ScheduleObservation {
	o.Schedule.Spec.Suspend = true
	return o
}

func alone(o backup.ScheduleObservation) backup.ScheduleObservation {
	o.Cluster = nil
	return o
}

func inZone(o backup.ScheduleObservation, zone string) backup.ScheduleObservation {
	o.Schedule.Spec.TimeZone = zone
	return o
}

func with(o backup.ScheduleObservation, schedule string) backup.ScheduleObservation {
	o.Schedule.Spec.Schedule = schedule
	return o
}

// When clocks are set forward the hour that is left out has no run, and when they are set back the hour that is there twice has
// one of a day.
func TestScheduleWhenClocksAreSet(t *testing.T) {
	g := NewWithT(t)
	o := with(inZone(hourly(), "Europe/Berlin"), "30 2 * * *")
	times, err := backup.ParseTimes(o.Schedule.Spec, noon)
	g.Expect(err).NotTo(HaveOccurred())
	count := func(from, to time.Time) int {
		last, before := times.Due(from, to)
		if last.IsZero() {
			return 0
		}
		return before + 1
	}
	g.Expect(count(
		time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC), time.Date(2026, 3, 30, 12, 0, 0, 0, time.UTC),
	)).To(Equal(1), "March")
	g.Expect(count(time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC), time.Date(2026, 10, 26, 12, 0, 0, 0, time.UTC))).To(
		BeNumerically(">=", 2), "October")
}

// A schedule that was suspended for years goes on at once.
func TestScheduleAfterYears(t *testing.T) {
	g := NewWithT(t)
	o := with(hourly(taken("1", noon)), "* * * * *")
	d := backup.Schedule(o, noon.AddDate(3, 0, 0).Add(30*time.Second))
	g.Expect(d.Take).To(BeTemporally("==", noon.AddDate(3, 0, 0)))
	g.Expect(d.Missed).To(Equal(1000))
}

func TestScheduleDeletesOldSnapshots(t *testing.T) {
	old, recent, newest := taken("old", minutes(-150)), taken("recent", minutes(-90)), taken("newest", minutes(-30))
	keepTwo := func(o backup.ScheduleObservation) backup.ScheduleObservation {
		o.Schedule.CreationTimestamp = *at(minutes(-200))
		o.Schedule.Spec.Retention = &v1alpha1.SnapshotRetention{Last: 2}
		return o
	}
	names := func(snapshots []v1alpha1.ConsulSnapshot) (all []string) {
		for _, s := range snapshots {
			all = append(all, s.Name)
		}
		return all
	}
	job := backup.Job{Exists: true, Store: "s3://backups", Objects: []string{old.Status.Object}}
	done, failing := job, job
	done.Finished, done.Succeeded = true, true
	failing.Finished, failing.FinishedAt, failing.Failure = true, minutes(-5), "refused"
	elsewhere := old
	elsewhere.Status.Store = "s3://another"
	for name, c := range map[string]struct {
		job             backup.Job
		snapshots       []v1alpha1.ConsulSnapshot
		now             time.Time
		deletes, forget []string
		ends            bool
	}{
		"by a Job first": {
			backup.Job{}, []v1alpha1.ConsulSnapshot{newest, recent, old}, noon, []string{"old"}, nil, false,
		},
		"while it goes on":      {job, []v1alpha1.ConsulSnapshot{newest, recent, old}, noon, nil, nil, false},
		"then what tells of it": {done, []v1alpha1.ConsulSnapshot{newest, recent, old}, noon, nil, []string{"old"}, false},
		"then the Job":          {done, []v1alpha1.ConsulSnapshot{newest, recent}, noon, nil, nil, true},
		"which failed just now": {failing, []v1alpha1.ConsulSnapshot{newest, recent, old}, noon, nil, nil, false},
		"which failed":          {failing, []v1alpha1.ConsulSnapshot{newest, recent, old}, minutes(6), nil, nil, true},
		"not of another store":  {backup.Job{}, []v1alpha1.ConsulSnapshot{newest, recent, elsewhere}, noon, nil, nil, false},
		"and what failed before": {
			backup.Job{}, []v1alpha1.ConsulSnapshot{newest, broken("bad", minutes(-90))}, noon, []string{"bad"}, nil, false,
		},
		"but none while one is taken": {
			backup.Job{}, []v1alpha1.ConsulSnapshot{going("now", noon), newest, recent, old}, noon, nil, nil, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o := keepTwo(hourly(c.snapshots...))
			o.Deleting = c.job
			d := backup.Schedule(o, c.now)
			g.Expect(names(d.Delete)).To(Equal(c.deletes))
			g.Expect(names(d.Forget)).To(Equal(c.forget))
			g.Expect(d.EndDeleting).To(Equal(c.ends))
		})
	}
	for name, from := range map[string]v1alpha1.SnapshotSource{
		"what a restore needs stays": {SnapshotName: "old"}, "what it needs by its object stays": {Object: old.Status.Object},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o := keepTwo(hourly(newest, recent, old))
			restore := v1alpha1.ConsulRestore{Spec: v1alpha1.ConsulRestoreSpec{ClusterName: "another", From: from}}
			o.Restores = []v1alpha1.ConsulRestore{restore}
			g.Expect(backup.Schedule(o, noon).Delete).To(BeEmpty())
			o.Restores[0].Status.CompletedAt = at(noon)
			g.Expect(names(backup.Schedule(o, noon).Delete)).To(Equal([]string{"old"}))
		})
	}
}

// That old snapshots cannot be deleted is said until they can, also while it is tried again: an alert that waits for an hour goes
// off.
func TestOldSnapshotsThatCannotBeDeleted(t *testing.T) {
	g := NewWithT(t)
	o := hourly(taken("1", minutes(30)))
	look := func(job backup.Job) backup.ScheduleDecision {
		o.Deleting = job
		d := backup.Schedule(o, minutes(45))
		o.Schedule.Status = backup.ScheduleStatus(o, d)
		return d
	}
	failing := failed("delete", reason.StoreRefuses, "access denied")
	failing.FinishedAt = minutes(44)
	for range 2 {
		d := look(failing)
		g.Expect(d.Reason).To(Equal(reason.StoreRefuses))
		g.Expect(d.Message).To(ContainSubstring("cannot be deleted: access denied"))
		for _, job := range []backup.Job{{}, {Exists: true}} {
			d := look(job)
			g.Expect(d.Reason).To(Equal(reason.StoreRefuses))
			g.Expect(d.Message).To(ContainSubstring("cannot be deleted: access denied"))
		}
	}
	taken := backup.Job{Name: "hourly-delete", Taken: "CronJob mine"}
	g.Expect(look(taken).Message).To(ContainSubstring("hourly-delete belongs to CronJob"))
	g.Expect(look(backup.Job{Refused: "exceeded quota"}).Reason).To(Equal(reason.JobRefused))
	g.Expect(look(succeeded("delete", snapshot.Outcome{})).Reason).To(Equal(reason.Scheduled))
	g.Expect(look(backup.Job{}).Reason).To(Equal(reason.Scheduled))
	g.Expect(o.Schedule.Status.DeletionFailure).To(BeNil())
}
