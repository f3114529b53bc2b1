package resources

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// RestoreRecord is a ConsulRestore for which a cluster has made way, as it is recorded on the ConsulCluster.
type RestoreRecord struct {
	Name string
	UID  types.UID
}

// RecordOfRestore returns the record of a ConsulRestore.
func RecordOfRestore(r *v1alpha1.ConsulRestore) RestoreRecord { return RestoreRecord{r.Name, r.UID} }

// String returns the record as it is written.
func (r RestoreRecord) String() string { return r.Name + " " + string(r.UID) }

// RestoringBy returns for which ConsulRestore a cluster has made way, and false if for none.
func RestoringBy(c *v1alpha1.ConsulCluster) (RestoreRecord, bool) {
	text, is := c.Annotations[v1alpha1.AnnotationRestoring]
	name, uid, _ := strings.Cut(text, " ")
	return RestoreRecord{name, types.UID(uid)}, is
}

// HasWay reports whether a cluster has made way for a ConsulRestore.
func HasWay(c *v1alpha1.ConsulCluster, r *v1alpha1.ConsulRestore) bool {
	record, is := RestoringBy(c)
	return is && record == RecordOfRestore(r)
}

// SnapshotBefore returns the name of the ConsulSnapshot that is taken before a restore. A ConsulRestore of the same name that was
// deleted has taken another one.
func (r RestoreRecord) SnapshotBefore() string {
	return fmt.Sprintf("%.40s-before-%.8s", r.Name, r.UID)
}

// UpgradeSnapshotName returns the name of the ConsulSnapshot that is taken before the upgrade that a spec asks for. Each change
// of the spec has one of its own.
func UpgradeSnapshotName(c *v1alpha1.ConsulCluster) string {
	return fmt.Sprintf("%s-before-%d", c.Name, c.Generation)
}

// FoundingRestoreName returns the name of the ConsulRestore with which a new cluster begins.
func FoundingRestoreName(cluster string) string { return cluster + "-new" }

// FoundingRestore returns the ConsulRestore with which a new cluster begins.
func FoundingRestore(c *v1alpha1.ConsulCluster) *v1alpha1.ConsulRestore {
	return &v1alpha1.ConsulRestore{
		ObjectMeta: meta(c, FoundingRestoreName(c.Name)),
		Spec: v1alpha1.ConsulRestoreSpec{
			ClusterName: c.Name, From: *c.Spec.Bootstrap.FromSnapshot, SkipSnapshot: true,
		},
	}
}

// IsFoundingRestore reports whether a ConsulRestore is the one with which a cluster begins.
func IsFoundingRestore(c *v1alpha1.ConsulCluster, r *v1alpha1.ConsulRestore) bool {
	return r.Name == FoundingRestoreName(c.Name) && isControlledBy(c, r)
}

// IsRestoreOf reports whether a ConsulRestore was asked for of this cluster, and not of a former one of its name. A backup that
// brings one back has other owners and another UID, and keeps its labels.
func IsRestoreOf(c *v1alpha1.ConsulCluster, r *v1alpha1.ConsulRestore) bool {
	of := r.Labels[v1alpha1.LabelClusterUID]
	isForeign := of != "" && of != string(c.UID) || r.Name == FoundingRestoreName(c.Name) && !IsFoundingRestore(c, r)
	return r.Spec.ClusterName == c.Name && !isForeign && !r.CreationTimestamp.Before(&c.CreationTimestamp)
}

// InspectJobName returns the name of the Job that reads what a ConsulRestore is to restore.
func InspectJobName(restore string) string { return restore + "-inspect" }

// RestoreJobName returns the name of the Job of a ConsulRestore.
func RestoreJobName(restore string) string { return restore + "-restore" }
