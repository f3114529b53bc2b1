package backup_test

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/backup"
	"github.com/consul-operator/consul-operator/internal/snapshot"
)

// noon is a Tuesday.
var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func at(t time.Time) *metav1.Time { return &metav1.Time{Time: t} }

func aCluster() *v1alpha1.ConsulCluster {
	c := &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{Name: "consul", Namespace: "default"}}
	c.Status.Access = &v1alpha1.Access{ServerName: "server.dc1.consul"} // it is founded
	c.Spec.Snapshots = v1alpha1.Snapshots{
		Destination: &v1alpha1.SnapshotDestination{S3: &v1alpha1.S3Destination{Bucket: "backups"}},
		Encryption:  &v1alpha1.SnapshotEncryption{Recipients: []string{"age1abc"}},
	}
	return c
}

func ready(status metav1.ConditionStatus, why reason.Reason, message string) []metav1.Condition {
	return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: status, Reason: string(why), Message: message}}
}

// taken is a snapshot that is good.
func taken(name string, when time.Time) v1alpha1.ConsulSnapshot {
	s := v1alpha1.ConsulSnapshot{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: "default", UID: types.UID(name), CreationTimestamp: *at(when),
	}}
	s.Annotations = map[string]string{v1alpha1.AnnotationScheduledAt: when.Format(time.RFC3339)}
	s.Spec.ClusterName = "consul"
	s.Status = v1alpha1.ConsulSnapshotStatus{
		StartedAt: at(when), CompletedAt: at(when.Add(time.Minute)), Verified: v1alpha1.VerifyArchive,
		Store: "s3://backups", Object: "default/consul/" + name + ".snap.age",
	}
	return s
}

// broken is one that failed, and going one that goes on.
func broken(name string, when time.Time) v1alpha1.ConsulSnapshot {
	s := taken(name, when)
	s.Status.Verified = ""
	s.Status.Conditions = ready(metav1.ConditionFalse, reason.StoreRefuses, "no such bucket")
	return s
}

func going(name string, when time.Time) v1alpha1.ConsulSnapshot {
	s := taken(name, when)
	s.Status.Verified, s.Status.CompletedAt = "", nil
	return s
}

func succeeded(container string, o snapshot.Outcome) backup.Job {
	return backup.Job{
		Exists: true, Finished: true, Succeeded: true, StartedAt: noon, FinishedAt: noon.Add(time.Second), Store: "s3://backups",
		Objects: []string{"default/consul/1.snap.age"}, Outcomes: map[string]snapshot.Outcome{container: o},
	}
}

func failed(container string, why reason.Reason, message string) backup.Job {
	job := succeeded(container, snapshot.Outcome{Reason: why, Message: message})
	job.Succeeded, job.Failure = false, "a pod failed with exit code 1"
	return job
}
