package backup_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/backup"
	"github.com/consul-operator/consul-operator/internal/snapshot"
)

var saved = snapshot.Outcome{
	Index: 70, Term: 3, Size: 12_345_678, SHA256: "ab", Datacenter: "dc1", Records: map[string]int{"KVS": 9},
	Servers: []snapshot.Server{{Name: "consul-0", Version: "1.22.0"}, {Name: "consul-1", Version: "1.22.7"}},
}

func TestSnapshot(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*backup.SnapshotObservation)
		state   backup.State
		reason  reason.Reason
		says    string
		creates bool
	}{
		"nothing is in the way": {func(*backup.SnapshotObservation) {}, backup.Working, reason.SavingSnapshot, "", true},
		"no cluster": {func(o *backup.SnapshotObservation) { o.Cluster = nil },
			backup.Waiting, reason.ClusterMissing, "no ConsulCluster consul", false},
		"the cluster is being deleted": {func(o *backup.SnapshotObservation) { o.Cluster.DeletionTimestamp = at(noon) },
			backup.Waiting, reason.ClusterMissing, "", false},
		"no destination": {func(o *backup.SnapshotObservation) { o.Cluster.Spec.Snapshots.Destination = nil },
			backup.Waiting, reason.NoDestination, "spec.snapshots.destination", false},
		"an operator that does not know its image": {func(o *backup.SnapshotObservation) { o.Image = "" },
			backup.Waiting, reason.JobRefused, "--job-image", false},
		"a Job of somebody else": {func(o *backup.SnapshotObservation) { o.Job = backup.Job{Name: "1-save", Taken: "CronJob mine"} },
			backup.Waiting, reason.NameTaken, "Job 1-save exists and belongs to CronJob mine", false},
		"a quota is in the way": {func(o *backup.SnapshotObservation) { o.Job.Refused = "exceeded quota" },
			backup.Waiting, reason.JobRefused, "exceeded quota", false},
		"another one first": {func(o *backup.SnapshotObservation) { o.All = append(o.All, going("0", noon)) },
			backup.Waiting, reason.SnapshotQueued, "ConsulSnapshot 0", false},
		"an earlier one first": {func(o *backup.SnapshotObservation) { o.All = append(o.All, going("2", noon.Add(-time.Minute))) },
			backup.Waiting, reason.SnapshotQueued, "ConsulSnapshot 2", false},
		"a later one": {func(o *backup.SnapshotObservation) { o.All = append(o.All, going("2", noon)) },
			backup.Working, reason.SavingSnapshot, "", true},
		"a later one that is being saved": {func(o *backup.SnapshotObservation) {
			o.All, o.Saving = append(o.All, going("2", noon)), []types.UID{"2"}
		}, backup.Waiting, reason.SnapshotQueued, "ConsulSnapshot 2", false},
		"a later one that is being saved, and that only a person can help": {func(o *backup.SnapshotObservation) {
			stalled := going("2", noon)
			stalled.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue}}
			o.All, o.Saving = append(o.All, stalled), []types.UID{"2"}
		}, backup.Working, reason.SavingSnapshot, "", true},
		"one of another cluster": {func(o *backup.SnapshotObservation) {
			other := going("0", noon)
			other.Spec.ClusterName = "other"
			o.All = append(o.All, other)
		}, backup.Working, reason.SavingSnapshot, "", true},
		"one that only a person can help": {func(o *backup.SnapshotObservation) {
			stalled := going("0", noon)
			stalled.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue}}
			o.All = append(o.All, stalled)
		}, backup.Working, reason.SavingSnapshot, "", true},
		"one that is being deleted": {func(o *backup.SnapshotObservation) {
			other := going("0", noon)
			other.DeletionTimestamp = at(noon)
			o.All = append(o.All, other)
		}, backup.Working, reason.SavingSnapshot, "", true},
		"a restore is under way": {func(o *backup.SnapshotObservation) {
			o.Cluster.Annotations = map[string]string{v1alpha1.AnnotationRestoring: "back u1"}
		}, backup.Waiting, reason.SnapshotQueued, "ConsulRestore back", false},
		"a restore is under way, and it is a part of that": {func(o *backup.SnapshotObservation) {
			o.Cluster.Annotations = map[string]string{v1alpha1.AnnotationRestoring: "back u1"}
			o.Snapshot.Name = "back-before-u1"
			o.All = append(o.All, going("0", noon))
		}, backup.Working, reason.SavingSnapshot, "", true},
		"a restore is under way, it is a part of that, and another one is being saved": {func(o *backup.SnapshotObservation) {
			o.Cluster.Annotations = map[string]string{v1alpha1.AnnotationRestoring: "back u1"}
			o.Snapshot.Name = "back-before-u1"
			o.All, o.Saving = append(o.All, going("0", noon)), []types.UID{"0"}
		}, backup.Waiting, reason.SnapshotQueued, "ConsulSnapshot 0", false},
		"the next run takes its place": {func(o *backup.SnapshotObservation) {
			o.Job.Exists, o.Snapshot.Annotations[v1alpha1.AnnotationReplaced] = true, "now"
		}, backup.Failed, reason.SnapshotFails, "the next run of its schedule", false},
		"the next run takes its place too late": {func(o *backup.SnapshotObservation) {
			o.Job, o.Snapshot.Annotations[v1alpha1.AnnotationReplaced] = succeeded("save", saved), "now"
		}, backup.Succeeded, reason.SnapshotSaved, "", false},
		"a test without a key": {func(o *backup.SnapshotObservation) { o.Snapshot.Spec.Verify = v1alpha1.VerifyRestore },
			backup.Waiting, reason.SnapshotKeyMissing, "identitySecretRef", false},
		"its last pod failed, and another one goes on": {func(o *backup.SnapshotObservation) {
			o.Job = backup.Job{Exists: true, Trouble: &snapshot.Outcome{Reason: reason.StoreUnreachable, Message: "nobody answers"}}
		}, backup.Working, reason.StoreUnreachable, "tries again: nobody answers", false},
		"a cluster that is not founded yet": {func(o *backup.SnapshotObservation) {
			o.Cluster.Status.Access = nil
		}, backup.Waiting, reason.SnapshotQueued, "first leader", false},
		"no cluster any more, and it was taken": {func(o *backup.SnapshotObservation) {
			o.Cluster, o.Job = nil, succeeded("save", saved)
		}, backup.Succeeded, reason.SnapshotSaved, "", false},
		"another one first, and it has begun": {func(o *backup.SnapshotObservation) {
			o.All, o.Job.Exists = append(o.All, going("0", noon)), true
		}, backup.Working, reason.SavingSnapshot, "", false},
		"a Secret is missing": {func(o *backup.SnapshotObservation) { o.Job.Exists, o.Job.Waiting = true, `secret "key" not found` },
			backup.Working, reason.JobCannotStart, `secret "key" not found`, false},
		"it succeeded": {func(o *backup.SnapshotObservation) { o.Job = succeeded("save", saved) },
			backup.Succeeded, reason.SnapshotSaved, "", false},
		"it succeeded, and its pod is gone": {func(o *backup.SnapshotObservation) { o.Job = succeeded("other", saved) },
			backup.Failed, reason.SnapshotFails, "another ConsulSnapshot", false},
		"it failed": {func(o *backup.SnapshotObservation) { o.Job = failed("save", reason.StoreRefuses, "no such bucket") },
			backup.Failed, reason.StoreRefuses, "no such bucket", false},
		"its test failed": {func(o *backup.SnapshotObservation) {
			o.Job = failed("verify", reason.SnapshotDamaged, "8 instead of 9")
			o.Job.Outcomes["save"] = saved
		}, backup.Failed, reason.SnapshotDamaged, "8 instead of 9", false},
		"it was never started": {func(o *backup.SnapshotObservation) {
			o.Job = backup.Job{Exists: true, Finished: true, Failure: "Job was active longer than specified deadline", Waiting: "no node"}
		}, backup.Failed, reason.SnapshotFails, "deadline (no node)", false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			asked := going("1", noon)
			asked.Status = v1alpha1.ConsulSnapshotStatus{}
			o := backup.SnapshotObservation{
				Snapshot: &asked, Cluster: aCluster(), All: []v1alpha1.ConsulSnapshot{asked}, Image: "operator:1",
			}
			c.change(&o)
			d := backup.Snapshot(o)
			g.Expect(d.RequeueAfter > 0 || c.state != backup.Waiting || c.reason == reason.SnapshotKeyMissing).To(BeTrue(),
				"what waits looks again")
			g.Expect(d.State).To(Equal(c.state))
			g.Expect(d.Reason).To(Equal(c.reason))
			g.Expect(d.Message).To(ContainSubstring(c.says))
			creates := d.Create != ""
			g.Expect(creates).To(Equal(c.creates))

			status := backup.SnapshotStatus(o, d, noon)
			g.Expect(status.CompletedAt != nil).To(Equal(c.state == backup.Succeeded || c.state == backup.Failed))
			stalled := c.state == backup.Failed || c.reason.Stalls()
			g.Expect(status.Conditions).To(ConsistOf(
				And(HaveField("Type", "Ready"), HaveField("Status", isTrue(c.state == backup.Succeeded))),
				And(HaveField("Type", "Stalled"), HaveField("Status", isTrue(stalled))),
				And(HaveField("Type", "Reconciling"), HaveField("Status", isTrue(c.state != backup.Succeeded && !stalled))),
			))
			o.Snapshot.Status = status
			g.Expect(backup.SnapshotStatus(o, d, noon)).To(Equal(status), "I5: nothing is written while nothing changes")
		})
	}
}

func isTrue(is bool) metav1.ConditionStatus {
	if is {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}

func TestSnapshotStatus(t *testing.T) {
	g := NewWithT(t)
	asked := going("1", noon)
	asked.Status, asked.Spec.Verify = v1alpha1.ConsulSnapshotStatus{}, v1alpha1.VerifyRestore
	o := backup.SnapshotObservation{Snapshot: &asked, Cluster: aCluster(), Job: succeeded("save", saved), Image: "operator:1"}
	status := backup.SnapshotStatus(o, backup.Snapshot(o), noon.Add(time.Minute))
	status.Conditions = nil
	g.Expect(status).To(Equal(v1alpha1.ConsulSnapshotStatus{
		StartedAt: at(noon), CompletedAt: at(noon.Add(time.Minute)), Store: "s3://backups", Object: "default/consul/1.snap.age",
		Encrypted: true, Index: 70, Term: 3, Bytes: 12_345_678, Size: "12Mi", SHA256: "ab", Version: "1.22.7", Datacenter: "dc1",
		Keys: 9, Verified: v1alpha1.VerifyRestore,
	}))
}

func TestSizesThatPeopleRead(t *testing.T) {
	for size, want := range map[int64]string{
		0: "0", 1: "1Ki", 1024: "1Ki", 1025: "2Ki", 700_000: "684Ki", 5 << 20: "5Mi", 5<<20 + 1: "5121Ki",
		50<<20 + 1: "51Mi", 11 << 27: "1408Mi", 3 << 30: "3Gi", 2 << 40: "2Ti",
	} {
		asked := going("1", noon)
		o := backup.SnapshotObservation{Snapshot: &asked, Cluster: aCluster(), Job: succeeded("save", snapshot.Outcome{Size: size})}
		o.Image = "operator:1"
		NewWithT(t).Expect(backup.SnapshotStatus(o, backup.Snapshot(o), noon).Size).To(Equal(want), "%d", size)
	}
}
