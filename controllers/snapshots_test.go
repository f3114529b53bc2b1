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
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// backups is an API server, and the reconcilers of what is backed up. One that reads a Secret fails the test.
type backups struct {
	*WithT
	client    client.WithWatch
	snapshots *ConsulSnapshotReconciler
	schedules *ConsulSnapshotScheduleReconciler
	restores  *ConsulRestoreReconciler
	events    *events.FakeRecorder
	now       time.Time
	// writes are what was created, changed or deleted.
	writes []string
	// refuses is why nothing can be created; nil if it can.
	refuses error
}

// newBackups is an API server with objects and a cluster that has a leader and a destination. All are an hour old.
func newBackups(t *testing.T, objects ...client.Object) *backups {
	t.Helper()
	b := &backups{WithT: NewWithT(t), events: events.NewFakeRecorder(100), now: time.Now().Truncate(time.Second)}
	scheme := runtime.NewScheme()
	b.Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	b.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	cluster := &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{Name: "consul", UID: "cluster"}}
	cluster.Spec.Snapshots = v1alpha1.Snapshots{
		Destination: &v1alpha1.SnapshotDestination{S3: &v1alpha1.S3Destination{
			Bucket: "backups", CredentialsSecretRef: &v1alpha1.SecretName{Name: "credentials"},
		}},
		Encryption: &v1alpha1.SnapshotEncryption{PassphraseSecretRef: &v1alpha1.SecretKey{Name: "passphrase"}},
	}
	cluster.Status.Access = &v1alpha1.Access{ServerName: "server.dc1.consul"}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "credentials"}}
	builder := eventIndexes(fake.NewClientBuilder().WithScheme(scheme)).WithStatusSubresource(&v1alpha1.ConsulCluster{},
		&v1alpha1.ConsulSnapshot{}, &v1alpha1.ConsulSnapshotSchedule{}, &v1alpha1.ConsulRestore{})
	for _, o := range append(objects, cluster, secret) {
		o.SetNamespace("default")
		if created := o.GetCreationTimestamp(); created.IsZero() {
			o.SetCreationTimestamp(metav1.NewTime(b.now.Add(-time.Hour)))
		}
		builder = builder.WithObjects(o)
	}
	b.client = builder.WithInterceptorFuncs(b.watch(t, scheme)).Build()
	all, now := jobs{b.client, b.client}, func() time.Time { return b.now }
	b.snapshots = &ConsulSnapshotReconciler{jobs: all, Events: b.events, Image: "operator:1", Now: now}
	b.schedules = &ConsulSnapshotScheduleReconciler{jobs: all, Events: b.events, Image: "operator:1", Now: now}
	b.restores = &ConsulRestoreReconciler{jobs: all, Events: b.events, Image: "operator:1", Now: now}
	return b
}

// watch gives objects a UID and an age, takes note of writes, and fails where Secrets are read.
func (b *backups) watch(t *testing.T, scheme *runtime.Scheme) interceptor.Funcs {
	check := func(o runtime.Object) {
		kind, err := apiutil.GVKForObject(o, scheme)
		if err != nil || strings.HasPrefix(kind.Kind, "Secret") {
			t.Errorf("reads %v", kind)
		}
	}
	note := func(verb string, o client.Object) {
		b.writes = append(b.writes, fmt.Sprintf("%s %T %s", verb, o, o.GetName()))
	}
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			check(o)
			return c.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			check(list)
			return c.List(ctx, list, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if b.refuses != nil {
				return b.refuses
			}
			note("create", o)
			o.SetUID(types.UID(fmt.Sprintf("%08d", len(b.writes))))
			o.SetCreationTimestamp(metav1.NewTime(b.now))
			return c.Create(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			note("patch", o)
			return c.Patch(ctx, o, patch, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			note("delete", o)
			return c.Delete(ctx, o, opts...)
		},
	}
}

type reconciler interface {
	Reconcile(context.Context, ctrl.Request) (ctrl.Result, error)
}

// pass is one pass of a reconciler over an object of a name.
func (b *backups) pass(t *testing.T, r reconciler, name string) ctrl.Result {
	t.Helper()
	result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: named(name)})
	b.Expect(err).NotTo(HaveOccurred())
	return result
}

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: name}
}

// read reads an object, and reports whether there is one.
func (b *backups) read(t *testing.T, name string, o client.Object) bool {
	t.Helper()
	err := b.client.Get(t.Context(), named(name), o)
	b.Expect(client.IgnoreNotFound(err)).To(Succeed())
	return err == nil
}

func (b *backups) snapshot(t *testing.T, name string) *v1alpha1.ConsulSnapshot {
	t.Helper()
	s := &v1alpha1.ConsulSnapshot{}
	b.Expect(b.read(t, name, s)).To(BeTrue(), name)
	return s
}

func (b *backups) restore(t *testing.T) *v1alpha1.ConsulRestore {
	t.Helper()
	r := &v1alpha1.ConsulRestore{}
	b.Expect(b.read(t, "today", r)).To(BeTrue())
	return r
}

func (b *backups) job(t *testing.T, name string) *batchv1.Job {
	t.Helper()
	job := &batchv1.Job{}
	b.Expect(b.read(t, name, job)).To(BeTrue(), name)
	return job
}

func (b *backups) hasJob(t *testing.T, name string) bool {
	t.Helper()
	return b.read(t, name, &batchv1.Job{})
}

// finish has a Job end, whose container leaves an outcome behind.
func (b *backups) finish(t *testing.T, name, container, left string) {
	t.Helper()
	job := b.job(t, name)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name + "-x7k2p", Namespace: "default", Labels: map[string]string{batchv1.JobNameLabel: name},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))},
		},
		Status: corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{
			{Name: container, State: terminated(0, "Completed", left)},
		}},
	}
	b.Expect(b.client.Create(t.Context(), pod)).To(Succeed())
	job.Status.Conditions = []batchv1.JobCondition{
		{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(b.now)},
	}
	b.Expect(b.client.Status().Update(t.Context(), job)).To(Succeed())
}

// records writes for which restore the cluster makes way; empty for none.
func (b *backups) records(t *testing.T, restore string) {
	t.Helper()
	cluster := &v1alpha1.ConsulCluster{}
	b.Expect(b.read(t, "consul", cluster)).To(BeTrue())
	cluster.Annotations = map[string]string{v1alpha1.AnnotationRestoring: restore}
	if restore == "" {
		cluster.Annotations = nil
	}
	b.Expect(b.client.Update(t.Context(), cluster)).To(Succeed())
}

func readyOf(conditions []metav1.Condition) string {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return ""
	}
	return ready.Reason + ": " + ready.Message
}

// asked is a ConsulSnapshot that was asked for so many minutes ago.
func asked(name string, minutes int) *v1alpha1.ConsulSnapshot {
	return &v1alpha1.ConsulSnapshot{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", UID: types.UID("uid-" + name), CreationTimestamp: minutesAgo(minutes),
		},
		Spec: v1alpha1.ConsulSnapshotSpec{ClusterName: "consul", Verify: v1alpha1.VerifyArchive},
	}
}

// Of a cluster, one Job runs at a time, the one that was asked for first.
func TestSnapshotsAreTakenInTurn(t *testing.T) {
	b := newBackups(t, asked("a", 2), asked("b", 1))
	b.pass(t, b.snapshots, "b")
	b.Expect(b.hasJob(t, "b-save")).To(BeFalse())
	b.Expect(readyOf(b.snapshot(t, "b").Status.Conditions)).To(Equal(
		"SnapshotQueued: it waits for ConsulSnapshot a: of a cluster, one Job runs at a time"))

	for range 2 {
		b.Expect(b.pass(t, b.snapshots, "a").RequeueAfter).NotTo(BeZero())
	}
	job := b.job(t, "a-save")
	b.Expect(metav1.IsControlledBy(job, b.snapshot(t, "a"))).To(BeTrue())
	b.Expect(job.Spec.Template.Spec.Containers[0].Image).To(Equal("operator:1"))
	b.Expect(b.snapshot(t, "a").Status).To(And(HaveField("StartedAt", Not(BeNil())), HaveField("Store", "s3://backups"),
		HaveField("Object", "default/consul/a-uid-a.snap.age"), HaveField("Encrypted", true), HaveField("CompletedAt", BeNil())))
	b.pass(t, b.snapshots, "b")
	b.Expect(b.hasJob(t, "b-save")).To(BeFalse(), "the first one goes on")

	b.finish(t, "a-save", resources.ContainerSave, `{"index":7,"size":3,"sha256":"abcd"}`)
	b.pass(t, b.snapshots, "a")
	b.Expect(b.snapshot(t, "a").Status).To(And(HaveField("Verified", v1alpha1.VerifyArchive), HaveField("Index", int64(7)),
		HaveField("SHA256", "abcd"), HaveField("CompletedAt", Not(BeNil()))))
	b.Expect(b.events.Events).To(Receive(Equal("Normal SnapshotSaved the snapshot is stored and verified")))
	b.Expect(b.job(t, "a-save").Spec.TTLSecondsAfterFinished).To(BeNil(), "until all that it has left is in the status")
	b.pass(t, b.snapshots, "a")
	b.Expect(b.job(t, "a-save").Spec.TTLSecondsAfterFinished).NotTo(BeNil())
	b.pass(t, b.snapshots, "b")
	b.Expect(b.hasJob(t, "b-save")).To(BeTrue())
	b.Expect(b.events.Events).To(BeEmpty(), "once")
}

// Two schedules are due at once: whose name comes first does not count once the Job of the other one is there.
func TestSnapshotsOfOneSecond(t *testing.T) {
	b := newBackups(t)
	for _, name := range []string{"b", "a"} {
		b.Expect(b.client.Create(t.Context(), asked(name, 0))).To(Succeed())
		b.pass(t, b.snapshots, name)
	}
	b.Expect(b.snapshot(t, "a").CreationTimestamp).To(Equal(b.snapshot(t, "b").CreationTimestamp))
	b.Expect(readyOf(b.snapshot(t, "a").Status.Conditions)).To(HavePrefix("SnapshotQueued: it waits for ConsulSnapshot b"))
}

// A snapshot that is a part of a restore does not wait for it, and all others do.
func TestSnapshotsWaitForARestore(t *testing.T) {
	record := resources.RestoreRecord{Name: "today", UID: "0123456789"}
	b := newBackups(t, asked("a", 2), asked(record.SnapshotBefore(), 1))
	b.records(t, record.String())
	b.pass(t, b.snapshots, "a")
	b.Expect(readyOf(b.snapshot(t, "a").Status.Conditions)).To(HavePrefix("SnapshotQueued: it waits for ConsulRestore today"))
	b.pass(t, b.snapshots, record.SnapshotBefore())
	b.Expect(b.hasJob(t, record.SnapshotBefore()+"-save")).To(BeTrue())
}

// What a person can put right is said, and tried again.
func TestASnapshotWhoseJobCannotBeCreated(t *testing.T) {
	for name, test := range map[string]struct {
		change func(t *testing.T, b *backups)
		says   string
	}{
		"its name is taken": {func(t *testing.T, b *backups) {
			job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "a-save", Namespace: "default"}}
			b.Expect(b.client.Create(t.Context(), job)).To(Succeed())
		}, "NameTaken: the Job a-save exists and belongs to no controller: delete it, or create this object under another name"},
		"a quota is exceeded": {func(_ *testing.T, b *backups) {
			b.refuses = apierrors.NewForbidden(batchv1.Resource("jobs"), "a-save", errors.New("exceeded quota"))
		}, `JobRefused: the API server refuses it: jobs.batch "a-save" is forbidden: exceeded quota`},
		"nobody knows the image": {func(_ *testing.T, b *backups) { b.snapshots.Image = "" },
			"JobRefused: the operator was started without its flag --job-image: set it in its Deployment"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackups(t, asked("a", 1))
			test.change(t, b)
			b.Expect(b.pass(t, b.snapshots, "a").RequeueAfter).NotTo(BeZero(), "no event tells when it is put right")
			b.Expect(readyOf(b.snapshot(t, "a").Status.Conditions)).To(Equal(test.says))
			b.Expect(b.snapshot(t, "a").Status.CompletedAt).To(BeNil())
		})
	}
}

// The next run of a schedule takes the place of one that goes on: that one has failed, it is known where its object may be, and
// its Job is deleted.
func TestASnapshotThatIsReplaced(t *testing.T) {
	schedule := &v1alpha1.ConsulSnapshotSchedule{
		ObjectMeta: metav1.ObjectMeta{Name: "hourly", UID: "schedule"},
		Spec: v1alpha1.ConsulSnapshotScheduleSpec{
			ClusterName: "consul", Schedule: "* * * * *", Concurrency: v1alpha1.ConcurrencyReplace, Immediate: true,
		},
	}
	b := newBackups(t, schedule)
	running := func() (names []string) {
		var all v1alpha1.ConsulSnapshotList
		b.Expect(b.client.List(t.Context(), &all)).To(Succeed())
		for _, s := range all.Items {
			if s.Status.CompletedAt == nil {
				names = append(names, s.Name)
			}
		}
		return names
	}
	for range 2 {
		b.pass(t, b.schedules, "hourly")
	}
	b.Expect(running()).To(HaveLen(1), "one that is due is taken once")
	first := running()[0]
	b.pass(t, b.snapshots, first)
	b.Expect(b.hasJob(t, first+"-save")).To(BeTrue())

	b.now = b.now.Add(time.Minute)
	b.pass(t, b.schedules, "hourly")
	b.Expect(running()).To(HaveLen(2))
	b.Expect(b.snapshot(t, first).Annotations).To(HaveKey(v1alpha1.AnnotationReplaced))
	b.pass(t, b.snapshots, first)
	b.Expect(b.snapshot(t, first).Status).To(And(HaveField("CompletedAt", Not(BeNil())), HaveField("Verified", BeEmpty()),
		HaveField("Object", HavePrefix("default/consul/"+first))))
	b.Expect(readyOf(b.snapshot(t, first).Status.Conditions)).To(ContainSubstring("the next run of its schedule takes its place"))
	b.Expect(meta.IsStatusConditionTrue(b.snapshot(t, first).Status.Conditions, v1alpha1.ConditionStalled)).To(BeTrue())
	b.Expect(b.hasJob(t, first+"-save")).To(BeTrue(), "until the status says where its object is")
	for range 2 {
		b.pass(t, b.snapshots, first)
	}
	b.Expect(b.hasJob(t, first+"-save")).To(BeFalse())
	b.pass(t, b.snapshots, running()[0])
	b.Expect(b.hasJob(t, running()[0]+"-save")).To(BeTrue())
}

// today is a ConsulRestore, which may have been prepared, and the snapshot that it is of.
func today(prepared bool) []client.Object {
	good := asked("good", 30)
	good.Status = v1alpha1.ConsulSnapshotStatus{
		Store: "s3://backups", Object: "default/consul/good.snap.age", SHA256: "abcd", Verified: v1alpha1.VerifyArchive,
		CompletedAt: new(minutesAgo(29)),
	}
	restore := &v1alpha1.ConsulRestore{
		ObjectMeta: metav1.ObjectMeta{Name: "today", UID: "0123456789", CreationTimestamp: minutesAgo(5)},
		Spec: v1alpha1.ConsulRestoreSpec{
			ClusterName: "consul", From: v1alpha1.SnapshotSource{SnapshotName: "good"}, SkipSnapshot: true,
		},
	}
	if prepared {
		restore.Status.PreparedAt = new(minutesAgo(4))
	}
	return []client.Object{good, restore}
}

// It goes from one step to the next, and is marked as completed once: a copy of it is not to happen again.
func TestARestore(t *testing.T) {
	b := newBackups(t, today(false)...)
	record := resources.RecordOfRestore(b.restore(t)).String()
	b.pass(t, b.restores, "today")
	b.Expect(b.hasJob(t, "today-inspect")).To(BeTrue())
	b.finish(t, "today-inspect", resources.ContainerInspect, `{"servers":[{"name":"consul-6"}]}`)
	b.pass(t, b.restores, "today")
	b.Expect(b.restore(t).Status).To(And(HaveField("PreparedAt", Not(BeNil())), HaveField("NextSerial", int32(7))))
	b.pass(t, b.restores, "today")
	b.Expect(readyOf(b.restore(t).Status.Conditions)).To(HavePrefix("RestoreQueued: it begins when ConsulCluster consul"))
	b.Expect(b.hasJob(t, "today-restore")).To(BeFalse(), "the cluster has not made way")

	b.records(t, record)
	b.pass(t, b.restores, "today")
	job := b.job(t, "today-restore")
	b.Expect(metav1.IsControlledBy(job, b.restore(t))).To(BeTrue())
	b.Expect(job.Spec.Template.Spec.Containers[0].Args).To(ContainElements("--sha256=abcd", "default/consul/good.snap.age"))
	b.finish(t, "today-restore", resources.ContainerRestore, `{"index":7}`)
	b.pass(t, b.restores, "today")
	b.Expect(b.restore(t).Status).To(And(HaveField("RestoredAt", Not(BeNil())), HaveField("Index", int64(7)),
		HaveField("CompletedAt", BeNil())))

	b.records(t, "")
	cluster := &v1alpha1.ConsulCluster{}
	b.Expect(b.read(t, "consul", cluster)).To(BeTrue())
	cluster.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}}
	b.Expect(b.client.Status().Update(t.Context(), cluster)).To(Succeed())
	b.pass(t, b.restores, "today")
	completedAt := b.restore(t).Status.CompletedAt
	b.Expect(completedAt).NotTo(BeNil())
	b.Expect(b.events.Events).To(Receive(HavePrefix("Normal " + string(reason.Restored))))
	b.writes = nil
	b.pass(t, b.restores, "today")
	b.Expect(b.restore(t).Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCompleted,
		completedAt.UTC().Format(time.RFC3339)))
	b.Expect(b.writes).To(ConsistOf("patch *v1alpha1.ConsulRestore today", "patch *v1.Job today-inspect",
		"patch *v1.Job today-restore"))
	b.writes = nil
	b.pass(t, b.restores, "today")
	b.Expect(b.writes).To(BeEmpty(), "once")
	b.Expect(b.events.Events).To(BeEmpty(), "once")
}

// A copy of one that was completed, such as from a backup, has no status.
func TestARestoreThatWasCompletedBefore(t *testing.T) {
	objects := today(false)
	objects[1].SetAnnotations(map[string]string{v1alpha1.AnnotationCompleted: "2026-01-01T12:00:00Z"})
	b := newBackups(t, objects...)
	b.pass(t, b.restores, "today")
	b.Expect(b.hasJob(t, "today-inspect")).To(BeFalse())
	b.Expect(b.restore(t).Status.CompletedAt).NotTo(BeNil())
	b.pass(t, b.restores, "today")
	b.Expect(b.restore(t).Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCompleted, "2026-01-01T12:00:00Z"))
}

// The present data is saved first. The snapshot stays when the ConsulRestore is deleted.
func TestThePresentDataIsSavedFirst(t *testing.T) {
	objects := today(true)
	objects[1].(*v1alpha1.ConsulRestore).Spec.SkipSnapshot = false
	b := newBackups(t, objects...)
	record := resources.RecordOfRestore(b.restore(t))
	b.records(t, record.String())
	for range 2 {
		b.pass(t, b.restores, "today")
	}
	before := b.snapshot(t, record.SnapshotBefore())
	b.Expect(before.Spec.ClusterName).To(Equal("consul"))
	b.Expect(before.OwnerReferences).To(BeEmpty())
	b.Expect(b.hasJob(t, "today-restore")).To(BeFalse())
	before.Status.Verified, before.Status.CompletedAt = v1alpha1.VerifyArchive, new(minutesAgo(0))
	b.Expect(b.client.Status().Update(t.Context(), before)).To(Succeed())
	b.pass(t, b.restores, "today")
	b.Expect(b.hasJob(t, "today-restore")).To(BeTrue())
}

// A cache may be late: a Job that nobody waits for would replace the data of a cluster that goes on.
func TestNoJobRestoresOnAnOldPicture(t *testing.T) {
	for name, test := range map[string]struct {
		live   func(cluster *v1alpha1.ConsulCluster, restore *v1alpha1.ConsulRestore)
		begins bool
	}{
		"nothing has changed": {func(*v1alpha1.ConsulCluster, *v1alpha1.ConsulRestore) {}, true},
		"the cluster makes way for another one": {func(c *v1alpha1.ConsulCluster, _ *v1alpha1.ConsulRestore) {
			c.Annotations[v1alpha1.AnnotationRestoring] = "tomorrow 9876543210"
		}, false},
		"for another one of its name": {func(c *v1alpha1.ConsulCluster, _ *v1alpha1.ConsulRestore) {
			c.Annotations[v1alpha1.AnnotationRestoring] = "today 9876543210"
		}, false},
		"for none any more":   {func(c *v1alpha1.ConsulCluster, _ *v1alpha1.ConsulRestore) { c.Annotations = nil }, false},
		"the cluster is gone": {func(c *v1alpha1.ConsulCluster, _ *v1alpha1.ConsulRestore) { c.Name = "other" }, false},
		"it is another one": {func(c *v1alpha1.ConsulCluster, r *v1alpha1.ConsulRestore) {
			r.UID = "9876543210"
			c.Annotations[v1alpha1.AnnotationRestoring] = resources.RecordOfRestore(r).String()
		}, false},
		"it is being deleted": {func(_ *v1alpha1.ConsulCluster, r *v1alpha1.ConsulRestore) {
			r.DeletionTimestamp, r.Finalizers = new(minutesAgo(0)), []string{"x/y"}
		}, false},
		"it is gone": {func(_ *v1alpha1.ConsulCluster, r *v1alpha1.ConsulRestore) { r.Name = "other" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackups(t, today(true)...)
			b.records(t, resources.RecordOfRestore(b.restore(t)).String())
			cluster, restore := &v1alpha1.ConsulCluster{}, b.restore(t)
			b.Expect(b.read(t, "consul", cluster)).To(BeTrue())
			test.live(cluster, restore)
			b.restores.live = fake.NewClientBuilder().WithScheme(b.client.Scheme()).WithObjects(cluster, restore).Build()
			b.pass(t, b.restores, "today")
			b.Expect(b.hasJob(t, "today-restore")).To(Equal(test.begins))
			b.Expect(b.restore(t).Status.CompletedAt).To(BeNil())
		})
	}
}

// A Job that is not in the cache yet has begun all the same: that it is gone would be final.
func TestAJobThatIsNotInTheCache(t *testing.T) {
	b := newBackups(t, today(true)...)
	b.records(t, resources.RecordOfRestore(b.restore(t)).String())
	b.pass(t, b.restores, "today")
	b.pass(t, b.restores, "today")
	b.Expect(b.restore(t).Status.StartedAt).NotTo(BeNil())
	b.restores.Client = interceptor.NewClient(b.client, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, is := o.(*batchv1.Job); is {
				return apierrors.NewNotFound(batchv1.Resource("jobs"), key.Name)
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	b.pass(t, b.restores, "today")
	b.Expect(b.restore(t).Status.CompletedAt).To(BeNil())

	b.Expect(b.client.Delete(t.Context(), b.job(t, "today-restore"))).To(Succeed())
	b.pass(t, b.restores, "today")
	b.Expect(b.restore(t).Status).To(And(HaveField("DataUnknown", true), HaveField("CompletedAt", Not(BeNil()))))
}
