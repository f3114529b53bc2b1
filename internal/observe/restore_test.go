package observe_test

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// minute is a time so many minutes after the cluster was created.
func minute(n int) *metav1.Time { return &metav1.Time{Time: now.Add(time.Duration(n) * time.Minute)} }

// prepared is a ConsulRestore that has all it needs, and was asked for so many minutes after the cluster was created.
func prepared(name string, after int, changes ...func(*v1alpha1.ConsulRestore)) *v1alpha1.ConsulRestore {
	r := &v1alpha1.ConsulRestore{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", UID: types.UID(name + "-uid"), CreationTimestamp: *minute(after),
		},
		Spec: v1alpha1.ConsulRestoreSpec{ClusterName: "consul"},
	}
	r.Status.PreparedAt = minute(after)
	for _, change := range changes {
		change(r)
	}
	return r
}

// started is a ConsulRestore whose Job was created at a minute.
func started(at int) func(*v1alpha1.ConsulRestore) {
	return func(r *v1alpha1.ConsulRestore) { r.Status.StartedAt = minute(at) }
}

func restored(r *v1alpha1.ConsulRestore)  { r.Status.RestoredAt = minute(60) }
func completed(r *v1alpha1.ConsulRestore) { r.Status.CompletedAt = minute(61) }

// incomplete is one of which nobody knows how it ended.
func incomplete(r *v1alpha1.ConsulRestore) { completed(r); r.Status.DataUnknown = true }

// ofCluster is a ConsulRestore that a cluster has asked for itself.
func ofCluster(uid types.UID) func(*v1alpha1.ConsulRestore) {
	return func(r *v1alpha1.ConsulRestore) {
		owner := &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{Name: "consul", UID: uid}}
		r.OwnerReferences = []metav1.OwnerReference{
			*metav1.NewControllerRef(owner, v1alpha1.GroupVersion.WithKind("ConsulCluster")),
		}
	}
}

func (w *world) asks(restores ...*v1alpha1.ConsulRestore) {
	w.cluster.CreationTimestamp = *minute(0)
	for _, r := range restores {
		w.others = append(w.others, r)
	}
}

// makesWay records that the cluster makes way for a ConsulRestore.
func (w *world) makesWay(name string) {
	w.cluster.Annotations[v1alpha1.AnnotationRestoring] = resources.RecordOfRestore(prepared(name, 0)).String()
}

func TestTheRestoreThatIsWanted(t *testing.T) {
	label := func(uid string) func(*v1alpha1.ConsulRestore) {
		return func(r *v1alpha1.ConsulRestore) { r.Labels = map[string]string{v1alpha1.LabelClusterUID: uid} }
	}
	all := func(restores ...*v1alpha1.ConsulRestore) []*v1alpha1.ConsulRestore { return restores }
	for name, test := range map[string]struct {
		asked  []*v1alpha1.ConsulRestore
		wanted string
	}{
		"none":                     {nil, ""},
		"one":                      {all(prepared("a", 1)), "a"},
		"the oldest first":         {all(prepared("a", 2), prepared("b", 1), prepared("c", 3)), "b"},
		"by name, of the same age": {all(prepared("b", 1), prepared("a", 1)), "a"},
		"as old as the cluster":    {all(prepared("a", 0)), "a"},
		"one that is not prepared": {all(prepared("a", 1, func(r *v1alpha1.ConsulRestore) { r.Status.PreparedAt = nil })), ""},
		"not one that is completed, nor one that is restored": {
			all(prepared("a", 1, started(2), restored, completed), prepared("b", 1, started(2), restored), prepared("c", 2)), "c",
		},
		"not one that has failed": {all(prepared("a", 1, completed)), ""},
		"not one that is deleted": {all(prepared("a", 1, func(r *v1alpha1.ConsulRestore) { deleted(r) })), ""},
		"not a copy of one that was completed": {
			all(prepared("a", 1, func(r *v1alpha1.ConsulRestore) {
				r.Annotations = map[string]string{v1alpha1.AnnotationCompleted: "since then"}
			})), "",
		},
		"not of another cluster": {all(prepared("a", 1, func(r *v1alpha1.ConsulRestore) { r.Spec.ClusterName = "other" })), ""},
		"not in another namespace": {
			all(prepared("a", 1, func(r *v1alpha1.ConsulRestore) { r.Namespace = "elsewhere" })), "",
		},
		"not older than the cluster":     {all(prepared("a", -1)), ""},
		"not with a former cluster's":    {all(prepared("a", 1, label("a former one"))), ""},
		"with the label of this one":     {all(prepared("a", 1, label(string(clusterUID)))), "a"},
		"its own":                        {all(prepared("consul-new", 1, ofCluster(clusterUID))), "consul-new"},
		"not one with the name of such":  {all(prepared("consul-new", 1)), ""},
		"nor that of the former cluster": {all(prepared("consul-new", 1, ofCluster("a former one"))), ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.asks(test.asked...)
			s := w.look()
			if test.wanted == "" {
				w.Expect(s.Spec.Restore).To(BeNil())
				return
			}
			w.Expect(s.Spec.Restore).To(Equal(&plan.Restore{Name: test.wanted, UID: test.wanted + "-uid"}))
		})
	}
}

// What has begun goes on, whoever takes the record away.
func TestTheRestoreThatHasBegun(t *testing.T) {
	says := func(r *v1alpha1.ConsulRestore) {
		r.Status.Conditions = []metav1.Condition{
			{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: string(reason.Restoring), Message: "half of it"},
		}
	}
	recorded := func(name string) *plan.Restore {
		return &plan.Restore{Name: name, UID: name + "-uid", Recorded: true, Ready: plan.Problem{
			Reason: reason.RestoreQueued, Message: "it was just asked for",
		}}
	}
	with := func(r *plan.Restore, change func(*plan.Restore)) *plan.Restore {
		change(r)
		return r
	}
	over := func(r *plan.Restore) { r.Over = true }
	unknown := func(r *plan.Restore) { r.Incomplete = true }
	for name, test := range map[string]struct {
		record string
		asked  []*v1alpha1.ConsulRestore
		seen   *plan.Restore
	}{
		"recorded": {"a", []*v1alpha1.ConsulRestore{prepared("a", 1)}, recorded("a")},
		"it says how far it is": {
			"a", []*v1alpha1.ConsulRestore{prepared("a", 1, started(2), says)},
			with(recorded("a"), func(r *plan.Restore) { r.Ready = plan.Problem{Reason: reason.Restoring, Message: "half of it"} }),
		},
		"another one waits":    {"a", []*v1alpha1.ConsulRestore{prepared("a", 2), prepared("b", 1)}, recorded("a")},
		"a finalizer holds it": {"a", []*v1alpha1.ConsulRestore{deleted(prepared("a", 1, started(2)))}, recorded("a")},
		"restored":             {"a", []*v1alpha1.ConsulRestore{prepared("a", 1, started(2), restored)}, with(recorded("a"), over)},
		"failed in time":       {"a", []*v1alpha1.ConsulRestore{prepared("a", 1, completed)}, with(recorded("a"), over)},
		"nobody knows how it ended": {
			"a", []*v1alpha1.ConsulRestore{prepared("a", 1, started(2), incomplete)}, with(recorded("a"), unknown),
		},
		"the record is lost": {"", []*v1alpha1.ConsulRestore{prepared("a", 1, started(2)), prepared("b", 1)}, recorded("a")},
		"lost, and nobody knows": {
			"", []*v1alpha1.ConsulRestore{prepared("a", 1, started(2), incomplete)}, with(recorded("a"), unknown),
		},
		"lost, and it is over": {"", []*v1alpha1.ConsulRestore{prepared("a", 1, started(2), restored)}, nil},
		"lost, and a later one has made up for it": {
			"", []*v1alpha1.ConsulRestore{prepared("a", 1, started(2), incomplete), prepared("b", 3, started(4), restored)}, nil,
		},
		"lost, and a later one began before": {
			"", []*v1alpha1.ConsulRestore{prepared("a", 1, started(4), incomplete), prepared("b", 3, started(2), restored)},
			with(recorded("a"), unknown),
		},
		"lost, and another one is wanted": {
			"", []*v1alpha1.ConsulRestore{prepared("a", 1, started(2), restored), prepared("b", 3)},
			&plan.Restore{Name: "b", UID: "b-uid"},
		},
		"lost, of a former cluster": {"", []*v1alpha1.ConsulRestore{prepared("a", -2, started(-1))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.asks(test.asked...)
			if test.record != "" {
				w.makesWay(test.record)
			}
			w.Expect(w.look().Spec.Restore).To(Equal(test.seen))
		})
	}
}

// A copy of a cluster is not restored by the records that came with it.
func TestTheRestoreOfACopy(t *testing.T) {
	w := newWorld(t)
	w.asks(prepared("a", 1))
	w.makesWay("a")
	w.cluster.Annotations[v1alpha1.AnnotationRecordsOf] = "another"
	w.Expect(w.look().Spec.Restore).To(Equal(&plan.Restore{Name: "a", UID: "a-uid"}))
}

// jobOf is the Job of the ConsulRestore a, with a condition.
func jobOf(ended ...batchv1.JobConditionType) *batchv1.Job {
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "a-restore", Namespace: "default"}}
	for _, kind := range ended {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue})
	}
	return job
}

func podOfJob(job string, phase corev1.PodPhase) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: job + "-x7k2p", Namespace: "default", Labels: map[string]string{batchv1.JobNameLabel: job},
		},
		Status: corev1.PodStatus{Phase: phase},
	}
}

// While a pod goes on, it may still replace the data: neither does the cluster go on, nor does another restore begin.
func TestARestoreWhoseJobHasNotStopped(t *testing.T) {
	objects := func(all ...client.Object) []client.Object { return all }
	notYet := jobOf()
	notYet.Status.Conditions = []batchv1.JobCondition{
		{Type: batchv1.JobFailed, Status: corev1.ConditionFalse}, {Type: batchv1.JobSuspended, Status: corev1.ConditionTrue},
	}
	for name, test := range map[string]struct {
		live    []client.Object
		stopped bool
	}{
		"nothing is left":            {nil, true},
		"the Job goes on":            {objects(jobOf()), false},
		"it was suspended":           {objects(notYet), false},
		"it goes on without a pod":   {objects(jobOf(), podOfJob("a-restore", corev1.PodFailed)), false},
		"it has failed":              {objects(jobOf(batchv1.JobFailed)), true},
		"it is complete":             {objects(jobOf(batchv1.JobComplete), podOfJob("a-restore", corev1.PodSucceeded)), true},
		"it has failed before a pod": {objects(jobOf(batchv1.JobFailed), podOfJob("a-restore", corev1.PodRunning)), false},
		"it has failed with its pod": {objects(jobOf(batchv1.JobFailed), podOfJob("a-restore", corev1.PodFailed)), true},
		"it went before its pod":     {objects(podOfJob("a-restore", corev1.PodRunning)), false},
		"a pod was never started":    {objects(podOfJob("a-restore", corev1.PodPending)), false},
		"a pod was left behind":      {objects(podOfJob("a-restore", corev1.PodFailed)), true},
		"a pod of another Job":       {objects(podOfJob("b-restore", corev1.PodRunning)), true},
	} {
		look := func(t *testing.T, asked ...*v1alpha1.ConsulRestore) *plan.Restore {
			w := newWorld(t)
			w.asks(asked...)
			w.makesWay("a")
			o := w.observer()
			o.Live = fake.NewClientBuilder().WithObjects(test.live...).Build() // the cache has none of it
			s, err := o.Observe(t.Context(), w.cluster)
			w.Expect(err).NotTo(HaveOccurred())
			return s.Spec.Restore
		}
		t.Run(name+", and another one is asked for", func(t *testing.T) {
			g := NewWithT(t)
			seen := look(t, prepared("a", 1, started(2), incomplete), prepared("b", 3))
			g.Expect(seen).To(And(HaveField("Name", "a"), HaveField("Incomplete", true), HaveField("Over", false)))
			waits := ContainSubstring("; ConsulRestore b begins when the pod of Job a-restore has stopped")
			if test.stopped {
				g.Expect(seen.Next).To(Equal(&plan.Restore{Name: "b", UID: "b-uid"}))
				g.Expect(seen.Ready.Message).NotTo(waits)
				return
			}
			g.Expect(seen.Next).To(BeNil())
			g.Expect(seen.Ready.Message).To(waits)
		})
		t.Run(name+", and nobody asks for another one", func(t *testing.T) {
			seen := look(t, prepared("a", 1, started(2), incomplete))
			NewWithT(t).Expect(seen).To(And(HaveField("Next", BeNil()), HaveField("Over", false)))
		})
		t.Run(name+", and it was deleted", func(t *testing.T) {
			NewWithT(t).Expect(look(t)).To(Equal(&plan.Restore{
				Name: "a", UID: "a-uid", Recorded: true, Over: test.stopped,
				Ready: plan.Problem{Reason: reason.Restoring, Message: "it was deleted, and its Job has not stopped yet"},
			}))
		})
	}
}

// Another one of its name has another record.
func TestARestoreOfTheNameOfAnother(t *testing.T) {
	w := newWorld(t)
	w.makesWay("a")
	w.asks(prepared("a", 1, started(2), func(r *v1alpha1.ConsulRestore) { r.UID = "later" }))
	w.Expect(w.look().Spec.Restore).To(And(HaveField("UID", "a-uid"), HaveField("Over", true)))
}

// What cannot be read has not stopped.
func TestARestoreWhoseJobCannotBeRead(t *testing.T) {
	for name, fails := range map[string]interceptor.Funcs{
		"the Job": {Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errSay
		}},
		"the pods": {List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return errSay
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.makesWay("a")
			o := w.observer()
			o.Live = fake.NewClientBuilder().WithInterceptorFuncs(fails).Build()
			_, err := o.Observe(t.Context(), w.cluster)
			w.Expect(err).To(MatchError(errSay))
		})
	}
}

func TestANewClusterBeginsWithASnapshot(t *testing.T) {
	own := func(changes ...func(*v1alpha1.ConsulRestore)) *v1alpha1.ConsulRestore {
		r := prepared("consul-new", 1, changes...)
		ofCluster(clusterUID)(r)
		r.Status.NextSerial = 9
		return r
	}
	record := func(of string) func(w *world) {
		return func(w *world) {
			w.cluster.Annotations = map[string]string{v1alpha1.AnnotationFounding: "true", v1alpha1.AnnotationRecordsOf: of}
		}
	}
	led := func(w *world) { w.cluster.Status.Term = 7 }
	notAsked := func(w *world) { w.cluster.Spec.Bootstrap.FromSnapshot = nil }
	both := func(changes ...func(w *world)) func(w *world) {
		return func(w *world) {
			for _, change := range changes {
				change(w)
			}
		}
	}
	queued := plan.Problem{Reason: reason.RestoreQueued, Message: "it was just asked for"}
	for name, test := range map[string]struct {
		change func(w *world)
		there  *v1alpha1.ConsulRestore
		seen   *plan.Founding
		next   int
	}{
		"it does not":            {notAsked, nil, nil, 0},
		"asked":                  {func(*world) {}, nil, &plan.Founding{Asked: true}, 0},
		"it had a leader before": {led, nil, nil, 0},
		"recorded":               {record(string(clusterUID)), nil, &plan.Founding{Recorded: true, Asked: true}, 0},
		"recorded, and it had a leader since": {
			both(record(string(clusterUID)), led), nil, &plan.Founding{Recorded: true, Asked: true}, 0,
		},
		"recorded, and nobody asks any more": {
			both(record(string(clusterUID)), notAsked), nil, &plan.Founding{Recorded: true}, 0,
		},
		"the record of another cluster": {record("another"), nil, &plan.Founding{Asked: true}, 0},
		"the same, and nobody asks":     {both(record("another"), notAsked), nil, nil, 0},
		"the snapshot is being read": {
			record(string(clusterUID)), own(func(r *v1alpha1.ConsulRestore) { r.Status.PreparedAt = nil }),
			&plan.Founding{Recorded: true, Asked: true, Exists: true, Ready: queued}, 9,
		},
		"prepared": {
			record(string(clusterUID)), own(), &plan.Founding{Recorded: true, Asked: true, Exists: true, Prepared: true, Ready: queued}, 9,
		},
		"prepared, and nobody asks any more": {
			both(record(string(clusterUID)), notAsked), own(),
			&plan.Founding{Recorded: true, Asked: true, Exists: true, Prepared: true, Ready: queued}, 9,
		},
		"the record is lost": {
			led, own(), &plan.Founding{Recorded: true, Asked: true, Exists: true, Prepared: true, Ready: queued}, 9,
		},
		"it has failed": {
			led, own(started(2), incomplete), &plan.Founding{Recorded: true, Asked: true, Exists: true, Prepared: true, Ready: queued}, 9,
		},
		"restored": {
			both(record(string(clusterUID)), led), own(started(2), restored),
			&plan.Founding{Recorded: true, Asked: true, Exists: true, Prepared: true, Restored: true, Ready: queued}, 9,
		},
		"restored, and it is over": {led, own(started(2), restored, completed), nil, 0},
		"of a former cluster": {
			func(*world) {}, prepared("consul-new", 1, ofCluster("a former one")), &plan.Founding{Asked: true}, 0,
		},
		"older than the cluster": {
			func(*world) {}, prepared("consul-new", -1, ofCluster(clusterUID)), &plan.Founding{Asked: true}, 0,
		},
		"of nobody":                       {func(*world) {}, prepared("consul-new", 1), &plan.Founding{Asked: true}, 0},
		"of nobody, in one that is there": {both(led, notAsked), prepared("consul-new", 1), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.claims, w.pods, w.cluster.Annotations = nil, nil, nil
			w.cluster.Spec.Bootstrap.FromSnapshot = &v1alpha1.SnapshotSource{SnapshotName: "yesterday"}
			w.asks()
			if test.there != nil {
				w.asks(test.there)
			}
			test.change(w)
			s := w.look()
			w.Expect(s.Spec.NextSerial).To(Equal(test.next))
			if test.seen == nil {
				w.Expect(s.Spec.Founding).To(BeNil())
				return
			}
			test.seen.Name = "consul-new"
			w.Expect(s.Spec.Founding).To(Equal(test.seen))
		})
	}
}

// Serials that are in use count on, whatever was in the snapshot.
func TestSerialsOfASnapshotAreNotUsedTwice(t *testing.T) {
	for serial, next := range map[int32]int{9: 9, 1: 3} {
		w := newWorld(t)
		founding := prepared("consul-new", 1, ofCluster(clusterUID))
		founding.Status.NextSerial = serial
		w.asks(founding)
		w.Expect(w.look().Spec.NextSerial).To(Equal(next))
	}
}

// Nobody knows what the servers have, and the restore that was to put that right has changed nothing: the cluster waits on.
func TestARestoreThatDoesNotTakeThePlaceOfAnother(t *testing.T) {
	w := newWorld(t)
	w.asks(prepared("a", 1, started(2), incomplete), prepared("b", 3, started(4), completed))
	w.Expect(w.look().Spec.Restore).To(And(HaveField("Name", "a"), HaveField("Incomplete", true)))
}
