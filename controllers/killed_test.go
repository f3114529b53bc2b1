package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// killed is an operator that is killed at one of its writes: before it takes effect, or afterwards, without having been told.
type killed struct {
	at     int // counted from 1; 0 for never
	after  bool
	writes int
}

var errKilled = errors.New("killed")

func (k *killed) write(do func() error) error {
	k.writes++
	if k.writes == k.at && !k.after {
		return errKilled
	}
	err := do()
	if k.writes == k.at {
		return errKilled
	}
	return err
}

func (k *killed) client(of client.WithWatch) client.Client {
	return interceptor.NewClient(of, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return k.write(func() error { return c.Create(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return k.write(func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return k.write(func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourcePatch: func(
			ctx context.Context, c client.Client, of string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption,
		) error {
			return k.write(func() error { return c.SubResource(of).Patch(ctx, o, p, opts...) })
		},
	})
}

// wholeStory has a schedule take a snapshot and delete an old one, and restores a snapshot. It returns the UIDs of the Jobs that
// ran, by name.
func wholeStory(t *testing.T, k *killed) map[string]map[types.UID]bool {
	t.Helper()
	schedule := &v1alpha1.ConsulSnapshotSchedule{ObjectMeta: metav1.ObjectMeta{Name: "hourly", UID: "schedule"}}
	schedule.Spec = v1alpha1.ConsulSnapshotScheduleSpec{
		ClusterName: "consul", Schedule: "@hourly", Immediate: true, Retention: &v1alpha1.SnapshotRetention{Last: 1},
	}
	old := &v1alpha1.ConsulSnapshot{ObjectMeta: metav1.ObjectMeta{
		Name: "hourly-20250101-0000", UID: "old", Labels: map[string]string{v1alpha1.LabelSchedule: "hourly"},
		Annotations: map[string]string{v1alpha1.AnnotationScheduledAt: "2025-01-01T00:00:00Z"},
	}}
	old.Spec.ClusterName = "consul"
	long := metav1.NewTime(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))
	old.Status = v1alpha1.ConsulSnapshotStatus{
		StartedAt: &long, CompletedAt: &long, Verified: v1alpha1.VerifyArchive, Store: "s3://backups", Object: "old.snap.age",
	}
	restore := &v1alpha1.ConsulRestore{ObjectMeta: metav1.ObjectMeta{Name: "today", UID: "restore"}}
	restore.Spec = v1alpha1.ConsulRestoreSpec{ClusterName: "consul", From: v1alpha1.SnapshotSource{Object: "other.snap.age"}}
	b := newBackups(t, schedule, old, restore)
	operator := k.client(b.client)
	b.snapshots.Client, b.schedules.Client, b.restores.Client = operator, operator, operator

	ran := map[string]map[types.UID]bool{}
	for settled := 0; settled < 2; {
		before := k.writes
		b.passOverAll(t)
		b.runJobs(t, ran)
		b.makeWay(t)
		if settled++; k.writes > before {
			settled = 0
		}
	}
	b.Expect(meta.IsStatusConditionTrue(b.restore(t).Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue(),
		"%v", b.restore(t).Status.Conditions)
	b.Expect(b.read(t, old.Name, &v1alpha1.ConsulSnapshot{})).To(BeFalse(), "its object and the ConsulSnapshot are gone")
	b.Expect(b.hasJob(t, "hourly-delete")).To(BeFalse())
	b.Expect(b.read(t, "hourly", schedule)).To(BeTrue())
	b.Expect(meta.IsStatusConditionTrue(schedule.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())
	b.Expect(schedule.Status.Kept).To(BeEquivalentTo(1))
	b.Expect(b.snapshot(t, b.restore(t).Status.SnapshotBefore).Status.Verified).NotTo(BeEmpty())
	return ran
}

// passOverAll is one pass of the operator over each object. One that fails is repeated by the next one.
func (b *backups) passOverAll(t *testing.T) {
	t.Helper()
	var snapshots v1alpha1.ConsulSnapshotList
	b.Expect(b.client.List(t.Context(), &snapshots)).To(Succeed())
	reconcile := func(r reconciler, name string) {
		_, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: named(name)})
		b.Expect(err).To(Or(BeNil(), MatchError(errKilled)))
	}
	for _, s := range snapshots.Items {
		reconcile(b.snapshots, s.Name)
	}
	reconcile(b.schedules, "hourly")
	reconcile(b.restores, "today")
}

// runJobs has all Jobs succeed, and takes down which ran.
func (b *backups) runJobs(t *testing.T, ran map[string]map[types.UID]bool) {
	t.Helper()
	var all batchv1.JobList
	b.Expect(b.client.List(t.Context(), &all)).To(Succeed())
	for _, job := range all.Items {
		if ran[job.Name] == nil {
			ran[job.Name] = map[types.UID]bool{}
		}
		if !ran[job.Name][job.UID] {
			ran[job.Name][job.UID] = true
			b.finish(t, job.Name, job.Name[strings.LastIndex(job.Name, "-")+1:], `{"index": 7, "size": 10, "sha256": "ab"}`)
		}
	}
}

// makeWay is what the cluster does for a restore.
func (b *backups) makeWay(t *testing.T) {
	t.Helper()
	switch restore := b.restore(t); {
	case restore.Status.RestoredAt != nil, restore.Status.PreparedAt == nil:
		b.records(t, "")
	default:
		b.records(t, resources.RecordOfRestore(restore).String())
	}
	cluster := &v1alpha1.ConsulCluster{}
	b.Expect(b.read(t, "consul", cluster)).To(BeTrue())
	meta.SetStatusCondition(&cluster.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Healthy",
	})
	b.Expect(b.client.Status().Update(t.Context(), cluster)).To(Succeed())
}

// The operator is killed at each of its writes: another one goes on, no Job runs twice, and the end is the same.
func TestBackupsSurviveADeathAtEachWrite(t *testing.T) {
	undisturbed := &killed{}
	once := func(t *testing.T, ran map[string]map[types.UID]bool) {
		t.Helper()
		for name, uids := range ran {
			NewWithT(t).Expect(uids).To(HaveLen(1), name)
		}
		NewWithT(t).Expect(ran).To(HaveKey("today-restore"))
	}
	once(t, wholeStory(t, undisturbed))
	NewWithT(t).Expect(undisturbed.writes).To(BeNumerically(">", 15))
	for at := range undisturbed.writes {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("at %d, after it: %v", at+1, after), func(t *testing.T) {
				t.Parallel()
				once(t, wholeStory(t, &killed{at: at + 1, after: after}))
			})
		}
	}
}
