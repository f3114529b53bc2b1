package observe

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// upgradeSnapshot fills in the snapshot that is taken before an upgrade; none if no upgrade is about to begin. It comes after the
// agents were asked for their versions.
func (o *Observer) upgradeSnapshot(ctx context.Context, s *Snapshot) error {
	c := s.Cluster
	if !asksToSaveFirst(c) || !beginsUpgrade(s) {
		return nil
	}
	first := &plan.UpgradeSnapshot{Name: resources.UpgradeSnapshotName(c)}
	s.Spec.UpgradeSnapshot = first
	snapshot := &v1alpha1.ConsulSnapshot{}
	err := o.Reader.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: first.Name}, snapshot)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading ConsulSnapshot %s: %w", first.Name, err)
	}
	if err != nil {
		return nil
	}
	first.Exists, first.Good = true, snapshot.Status.Verified != ""
	first.Remedy = fmt.Sprintf("to try again: kubectl delete consulsnapshot %s -n %s; to upgrade without it: kubectl annotate "+
		"consulcluster %s --overwrite %s=%s", first.Name, c.Namespace, s.Spec.Object, v1alpha1.AnnotationSkipSnapshot, c.Spec.Version)
	if snapshot.Spec.ClusterName != c.Name || snapshot.CreationTimestamp.Before(&c.CreationTimestamp) {
		first.Good, first.Failure = false, "it is of another ConsulCluster, or of a former one of this name"
	}
	if stalled := meta.FindStatusCondition(snapshot.Status.Conditions, v1alpha1.ConditionStalled); !first.Good &&
		stalled != nil && stalled.Status == metav1.ConditionTrue {
		first.Failure = cmp.Or(first.Failure, stalled.Message)
	}
	return nil
}

// asksToSaveFirst reports whether a cluster is to be saved before it gets the version that it asks for.
func asksToSaveFirst(c *v1alpha1.ConsulCluster) bool {
	return c.Spec.Snapshots.Destination != nil && ptr.Deref(c.Spec.Update.SnapshotFirst, true) &&
		c.Annotations[v1alpha1.AnnotationSkipSnapshot] != c.Spec.Version
}

// beginsUpgrade reports whether servers of another version run, and none is to run the wanted revision yet. From then on it is
// too late.
func beginsUpgrade(s *Snapshot) bool {
	isWanted := func(server plan.Server) bool { return server.Revision == s.Spec.Revision }
	isOther := func(server plan.Server) bool {
		return server.Agent.Version != "" && server.Agent.Version != s.Cluster.Spec.Version
	}
	return s.Spec.Bootstrapped && !slices.ContainsFunc(s.Servers, isWanted) && slices.ContainsFunc(s.Servers, isOther)
}
