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

func aRestore() backup.RestoreObservation {
	source := taken("1", noon.Add(-time.Hour))
	before := taken("back-before", noon)
	restore := &v1alpha1.ConsulRestore{ObjectMeta: metav1.ObjectMeta{Name: "back", Namespace: "default", UID: "u1"}}
	restore.Status.PreparedAt = at(noon)
	restore.Spec = v1alpha1.ConsulRestoreSpec{ClusterName: "consul", From: v1alpha1.SnapshotSource{SnapshotName: "1"}}
	c := aCluster()
	c.Annotations = map[string]string{v1alpha1.AnnotationRestoring: "back u1"}
	c.Status.Conditions = ready(metav1.ConditionFalse, reason.Restoring, "ConsulRestore back")
	return backup.RestoreObservation{Restore: restore, Cluster: c, Source: &source, Before: &before, Image: "operator:1"}
}

func TestRestore(t *testing.T) {
	type o = *backup.RestoreObservation
	released := func(o o) {
		o.Restore.Status.RestoredAt = at(noon)
		delete(o.Cluster.Annotations, v1alpha1.AnnotationRestoring)
		o.Cluster.Status.Conditions = ready(metav1.ConditionTrue, reason.Healthy, "all serve")
	}
	busy := func(o o) { delete(o.Cluster.Annotations, v1alpha1.AnnotationRestoring) }
	reading := func(o o) { o.Restore.Status.PreparedAt = nil; busy(o) }
	founding := func(o o) {
		reading(o)
		o.Restore.Name = "consul-new"
		o.Restore.OwnerReferences = []metav1.OwnerReference{
			*metav1.NewControllerRef(o.Cluster, v1alpha1.GroupVersion.WithKind("ConsulCluster")),
		}
	}
	for name, c := range map[string]struct {
		change   func(o)
		state    backup.State
		reason   reason.Reason
		says     string
		creates  string
		before   bool
		prepared bool
		restored bool
	}{
		"no snapshot of that name": {
			func(o o) { busy(o); o.Source = nil }, backup.Waiting, reason.SnapshotMissing, "no ConsulSnapshot 1", "", false, false, false,
		},
		"it is being taken": {
			func(o o) { busy(o); *o.Source = going("1", noon) }, backup.Waiting, reason.SavingSnapshot, "", "", false, false, false,
		},
		"it failed": {
			func(o o) { busy(o); *o.Source = broken("1", noon) }, backup.Waiting, reason.StoreRefuses, "no such bucket", "", false, false,
			false,
		},
		"it is in another store": {
			func(o o) { busy(o); o.Source.Status.Store = "s3://other" }, backup.Waiting, reason.SnapshotMissing, "s3://other", "", false,
			false, false,
		},
		"it is gone when there is way": {
			func(o o) { o.Source = nil }, backup.Failed, reason.SnapshotMissing, "nothing was changed", "", false, false, false,
		},
		"no destination any more": {
			func(o o) { o.Cluster.Spec.Snapshots.Destination = nil }, backup.Failed, reason.NoDestination, "nothing was changed", "",
			false, false, false,
		},
		"the cluster is busy": {
			busy, backup.Waiting, reason.RestoreQueued, "Restoring: ConsulRestore back", "", false, true, false,
		},
		"for another restore": {
			func(o o) { o.Cluster.Annotations[v1alpha1.AnnotationRestoring] = "back u0" }, backup.Waiting, reason.RestoreQueued, "", "",
			false, true, false,
		},
		"nothing saved before": {
			func(o o) { o.Before = nil }, backup.Working, reason.SavingSnapshot, "", "", true, true, false,
		},
		"it is saved before": {
			func(o o) { *o.Before = going("back-before", noon) }, backup.Working, reason.SavingSnapshot, "", "", false, true, false,
		},
		"it cannot be saved before": {
			func(o o) { *o.Before = broken("back-before", noon) }, backup.Failed, reason.StoreRefuses, "skipSnapshot", "", false, true,
			false,
		},
		"it was saved before": {
			func(o) {}, backup.Working, reason.Restoring, "creating the Job", "restore", false, true, false,
		},
		"nothing is saved before": {
			func(o o) { o.Before, o.Restore.Spec.SkipSnapshot = nil, true }, backup.Working, reason.Restoring, "", "restore", false, true,
			false,
		},
		"by the name of the object": {
			func(o o) { o.Source, o.Restore.Spec.From = nil, v1alpha1.SnapshotSource{Object: "a/b"} }, backup.Working, reason.Restoring,
			"", "restore", false, true, false,
		},
		"the Job goes on": {
			func(o o) { o.Job.Exists = true }, backup.Working, reason.Restoring, "", "", false, true, false,
		},
		"its Job is gone": {
			func(o o) { o.Restore.Status.StartedAt = at(noon) }, backup.Failed, reason.RestoreIncomplete, "nobody knows", "", false, false,
			false,
		},
		"the snapshot does not fit": {
			func(o o) { o.Job = failed("restore", reason.SnapshotUnfit, "of dc2") }, backup.Failed, reason.SnapshotUnfit,
			"of dc2; nothing was changed", "", false, true, false,
		},
		"Consul was lost on the way": {
			func(o o) { o.Job = failed("restore", reason.RestoreIncomplete, "EOF") }, backup.Failed, reason.RestoreIncomplete,
			"create another ConsulRestore", "", false, true, false,
		},
		"its pod was killed": {
			func(o o) { o.Job = failed("other", "", "") }, backup.Failed, reason.RestoreIncomplete, "exit code 1", "", false, true, false,
		},
		"its pod never ran": {func(o o) {
			o.Job = backup.Job{Exists: true, Finished: true, NeverRan: true, Failure: "deadline", Waiting: "no node"}
		}, backup.Failed, reason.JobCannotStart, "nothing was changed", "", false, true, false},
		"Consul has it": {
			func(o o) { o.Job = succeeded("restore", snapshot.Outcome{Index: 7}) }, backup.Working, reason.Restoring, "has restored", "",
			false, true, true,
		},
		"the cluster is put right": {func(o o) {
			released(o)
			o.Cluster.Status.Conditions = ready(metav1.ConditionFalse, reason.MakingTokens, "tokens")
		}, backup.Working, reason.Restoring, "MakingTokens", "", false, false, true},
		"the catalog is not complete": {func(o o) {
			released(o)
			o.Cluster.Status.Servers = []v1alpha1.ServerStatus{{Name: "consul-1", Catalog: v1alpha1.CatalogAbsent}}
		}, backup.Working, reason.WaitingForCatalog, "consul-1", "", false, false, true},
		"all is well": {released, backup.Succeeded, reason.Restored, "", "", false, false, true},
		"all is well, and the Job is gone": {
			func(o o) { released(o); o.Source = nil }, backup.Succeeded, reason.Restored, "", "", false, false, true,
		},

		"it is saved before, and a quota is in the way": {func(o o) {
			*o.Before = going("back-before", noon)
			o.Before.Status.Conditions = append(ready(metav1.ConditionFalse, reason.JobRefused, "exceeded quota"),
				metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue})
		}, backup.Failed, reason.JobRefused, "exceeded quota", "", false, true, false},
		"another cluster was saved before": {
			func(o o) { o.Before.Spec.ClusterName = "other" }, backup.Failed, "Unknown", "skipSnapshot", "", false, true, false,
		},
		"it may not be saved before": {
			func(o o) { o.Before, o.Job.Refused = nil, "no such kind" }, backup.Failed, reason.JobRefused, "nothing was changed", "",
			false, false, false,
		},
		"it is older than the cluster": {
			func(o o) { o.Cluster.CreationTimestamp = *at(noon) }, backup.Failed, reason.ClusterMissing, "another ConsulRestore", "",
			false, false, false,
		},
		"it is a former cluster's, as of a backup": {
			func(o o) { busy(o); o.Restore.Labels = map[string]string{v1alpha1.LabelClusterUID: "former"} }, backup.Failed,
			reason.ClusterMissing, "", "", false, false, false,
		},
		"it is the one with which a former cluster began": {
			func(o o) { busy(o); o.Restore.Name = "consul-new" }, backup.Failed, reason.ClusterMissing, "", "", false, false, false,
		},
		"it is a copy of one that was completed": {
			func(o o) { busy(o); o.Restore.Annotations = map[string]string{v1alpha1.AnnotationCompleted: "then"} }, backup.Failed,
			reason.SnapshotFails, v1alpha1.AnnotationCompleted, "", false, false, false,
		},

		"it is read first": {reading, backup.Working, reason.InspectingSnapshot, "", "inspect", false, false, false},
		"a quota keeps it from being read": {
			func(o o) { reading(o); o.Inspection.Refused = "exceeded quota" }, backup.Waiting, reason.JobRefused, "exceeded quota", "",
			false, false, false,
		},
		"it is being read": {
			func(o o) { reading(o); o.Inspection.Exists = true }, backup.Working, reason.InspectingSnapshot, "", "", false, false, false,
		},
		"it does not fit": {
			func(o o) { reading(o); o.Inspection = failed("inspect", reason.SnapshotUnfit, "of dc2") }, backup.Failed,
			reason.SnapshotUnfit, "of dc2; nothing was changed", "", false, false, false,
		},
		"it was read, and the pod is gone": {
			func(o o) { reading(o); o.Inspection = succeeded("other", snapshot.Outcome{}) }, backup.Failed, reason.SnapshotFails,
			"nothing was changed", "", false, false, false,
		},
		"a new cluster begins with it, and its pod was killed": {
			func(o o) { founding(o); o.Job = failed("other", "", "") }, backup.Failed, reason.RestoreIncomplete,
			"delete this ConsulRestore", "", false, true, false,
		},
		"there is no cluster any more, and its pod was killed": {
			func(o o) { o.Cluster, o.Job = nil, failed("other", "", "") }, backup.Failed, reason.RestoreIncomplete,
			"create another ConsulRestore", "", false, true, false,
		},
		"a new cluster reads it first": {founding, backup.Working, reason.InspectingSnapshot, "", "inspect", false, false, false},
		"it has read it": {func(o o) {
			founding(o)
			o.Inspection = succeeded("inspect", snapshot.Outcome{Servers: []snapshot.Server{{Name: "consul-4"}, {Name: "other-7"}}})
		}, backup.Working, reason.RestoreQueued, "can be restored", "", false, true, false},
		"it cannot be restored": {
			func(o o) { founding(o); o.Inspection = failed("inspect", reason.SnapshotUnfit, "of dc2") }, backup.Failed,
			reason.SnapshotUnfit, "no server was created", "", false, false, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			seen := aRestore()
			c.change(&seen)
			d := backup.Restore(seen)
			g.Expect(d.State).To(Equal(c.state), d.Message)
			g.Expect(d.Reason).To(Equal(c.reason))
			g.Expect(d.Message).To(ContainSubstring(c.says))
			g.Expect(d.Create).To(Equal(c.creates))
			g.Expect(d.TakeBefore).To(Equal(c.before))
			g.Expect(d.Prepared).To(Equal(c.prepared))
			g.Expect(d.Restored).To(Equal(c.restored))
			g.Expect(d.DataUnknown).To(Equal(c.reason == reason.RestoreIncomplete))
			if d.Inspected {
				g.Expect(d.NextSerial).To(Equal(5), "no server has a name that is in it")
			}
			if d.Inspected {
				return // it goes on at once
			}
			seen.Restore.Status = backup.RestoreStatus(seen, d, noon)
			g.Expect(backup.RestoreStatus(seen, backup.Restore(seen), noon)).To(Or(Equal(seen.Restore.Status),
				HaveField("RestoredAt", Not(BeNil()))), "I5")
		})
	}
}
