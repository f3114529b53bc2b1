package observe_test

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// upgrades is a cluster whose servers run 1.22.7, and that asks for 1.22.8 now.
func upgrades(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.cluster.Generation, w.cluster.CreationTimestamp = 5, *minute(0)
	w.cluster.Spec.Version = "1.22.8"
	w.cluster.Spec.Snapshots = v1alpha1.Snapshots{
		Destination: &v1alpha1.SnapshotDestination{VolumeClaim: &v1alpha1.VolumeClaimDestination{Name: "backups"}},
		Encryption:  &v1alpha1.SnapshotEncryption{Disabled: true},
	}
	return w
}

func TestWhatIsSavedBeforeItIsUpgraded(t *testing.T) {
	for name, test := range map[string]struct {
		change func(w *world)
		saved  bool
	}{
		"an upgrade":     {func(*world) {}, true},
		"a downgrade":    {func(w *world) { w.cluster.Spec.Version = "1.21.0" }, true},
		"asked for":      {func(w *world) { w.cluster.Spec.Update.SnapshotFirst = new(true) }, true},
		"not asked for":  {func(w *world) { w.cluster.Spec.Update.SnapshotFirst = new(false) }, false},
		"no destination": {func(w *world) { w.cluster.Spec.Snapshots.Destination = nil }, false},
		"to be skipped":  {func(w *world) { w.cluster.Annotations[v1alpha1.AnnotationSkipSnapshot] = "1.22.8" }, false},
		"to be skipped for another version": {
			func(w *world) { w.cluster.Annotations[v1alpha1.AnnotationSkipSnapshot] = "1.22.7" }, true,
		},
		"the version that runs": {func(w *world) { w.cluster.Spec.Version = "1.22.7" }, false},
		"one server runs another version": {func(w *world) {
			for serial := range 2 {
				w.agent(serial).self.Version = "1.22.8"
			}
		}, true},
		"nobody says which version runs": {func(w *world) {
			for serial := range 3 {
				w.agent(serial).mute = true
			}
		}, false},
		"a server is to run the revision already": {func(w *world) {
			w.claims[2].Annotations[v1alpha1.AnnotationRevision] = resources.Revision(w.cluster)
		}, false},
		"it never had a leader": {func(w *world) {
			delete(w.cluster.Annotations, v1alpha1.AnnotationBootstrapped)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := upgrades(t)
			test.change(w)
			first := w.look().Spec.UpgradeSnapshot
			if !test.saved {
				w.Expect(first).To(BeNil())
				return
			}
			w.Expect(first).To(Equal(&plan.UpgradeSnapshot{Name: "consul-before-5"}))
		})
	}
}

func TestTheSnapshotBeforeAnUpgrade(t *testing.T) {
	condition := func(kind string, status metav1.ConditionStatus) func(*v1alpha1.ConsulSnapshot) {
		return func(s *v1alpha1.ConsulSnapshot) {
			s.Status.Conditions = append(s.Status.Conditions, metav1.Condition{
				Type: kind, Status: status, Reason: string(reason.StoreRefuses), Message: "no such bucket",
			})
		}
	}
	good := func(s *v1alpha1.ConsulSnapshot) { s.Status.Verified = v1alpha1.VerifyArchive }
	stalled := condition(v1alpha1.ConditionStalled, metav1.ConditionTrue)
	changes := func(all ...func(*v1alpha1.ConsulSnapshot)) []func(*v1alpha1.ConsulSnapshot) { return all }
	const others = "it is of another ConsulCluster, or of a former one of this name"
	for name, test := range map[string]struct {
		changes []func(*v1alpha1.ConsulSnapshot)
		good    bool
		failure string
	}{
		"it is taken": {nil, false, ""},
		"it goes on":  {changes(condition(v1alpha1.ConditionStalled, metav1.ConditionFalse)), false, ""},
		"it is good":  {changes(good, condition(v1alpha1.ConditionStalled, metav1.ConditionFalse)), true, ""},
		"it failed":   {changes(condition(v1alpha1.ConditionReady, metav1.ConditionFalse), stalled), false, "no such bucket"},
		"it is of another cluster": {
			changes(good, func(s *v1alpha1.ConsulSnapshot) { s.Spec.ClusterName = "other" }), false, others,
		},
		"it is of a former one": {
			changes(good, func(s *v1alpha1.ConsulSnapshot) { s.CreationTimestamp = *minute(-1) }), false, others,
		},
		"it is of another one, and failed": {
			changes(stalled, func(s *v1alpha1.ConsulSnapshot) { s.Spec.ClusterName = "other" }), false, others,
		},
		"it is as old as the cluster": {
			changes(good, func(s *v1alpha1.ConsulSnapshot) { s.CreationTimestamp = *minute(0) }), true, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := upgrades(t)
			snapshot := &v1alpha1.ConsulSnapshot{
				ObjectMeta: metav1.ObjectMeta{Name: "consul-before-5", Namespace: "default", CreationTimestamp: *minute(9)},
				Spec:       v1alpha1.ConsulSnapshotSpec{ClusterName: "consul"},
			}
			for _, change := range test.changes {
				change(snapshot)
			}
			w.others = append(w.others, snapshot)
			first := w.look().Spec.UpgradeSnapshot
			w.Expect(first).To(And(HaveField("Name", "consul-before-5"), HaveField("Exists", true), HaveField("Good", test.good),
				HaveField("Failure", test.failure)))
			w.Expect(first.Remedy).To(And(ContainSubstring("kubectl delete consulsnapshot consul-before-5 -n default"),
				MatchRegexp(`kubectl annotate consulcluster consul -n default .*consuloperator\.io/skip-snapshot=1\.22\.8`)))
		})
	}
}

// Each change of the spec has a snapshot of its own: the data has changed since the last one.
func TestASnapshotOfAnEarlierUpgrade(t *testing.T) {
	w := upgrades(t)
	w.others = append(w.others, &v1alpha1.ConsulSnapshot{
		ObjectMeta: metav1.ObjectMeta{Name: "consul-before-4", Namespace: "default", CreationTimestamp: *minute(9)},
		Spec:       v1alpha1.ConsulSnapshotSpec{ClusterName: "consul"},
		Status:     v1alpha1.ConsulSnapshotStatus{Verified: v1alpha1.VerifyArchive},
	})
	w.Expect(w.look().Spec.UpgradeSnapshot).To(HaveField("Exists", false))
}

// A snapshot that cannot be read is not one that is missing.
func TestASnapshotThatCannotBeRead(t *testing.T) {
	w := upgrades(t)
	o := w.observer()
	o.Reader = interceptor.NewClient(o.Reader.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, is := o.(*v1alpha1.ConsulSnapshot); is {
				return errSay
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	_, err := o.Observe(t.Context(), w.cluster)
	w.Expect(err).To(MatchError(errSay))
}
