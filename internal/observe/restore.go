package observe

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// restore fills in the ConsulRestore that the cluster makes way for, or is to.
func (o *Observer) restore(ctx context.Context, s *Snapshot) error {
	var list v1alpha1.ConsulRestoreList
	if err := o.Reader.List(ctx, &list, client.InNamespace(s.Cluster.Namespace)); err != nil {
		return fmt.Errorf("listing ConsulRestores: %w", err)
	}
	all := slices.DeleteFunc(list.Items, func(r v1alpha1.ConsulRestore) bool { return !resources.IsRestoreOf(s.Cluster, &r) })
	founding(s, all)
	record, recorded := resources.RestoringBy(s.Cluster)
	if !recorded || s.Copied {
		record, recorded = begun(all)
	}
	if !recorded {
		s.Spec.Restore = wantedRestore(all)
		return nil
	}
	s.Spec.Restore = &plan.Restore{Name: record.Name, UID: string(record.UID), Recorded: true}
	i := slices.IndexFunc(all, func(r v1alpha1.ConsulRestore) bool { return r.UID == record.UID })
	if i < 0 {
		return o.deletedRestore(ctx, s)
	}
	restore := s.Spec.Restore
	restore.Over, restore.Incomplete, restore.Ready = isRestoreOver(all[i]), all[i].Status.DataUnknown, readyOf(all[i])
	if restore.Incomplete {
		return o.nextRestore(ctx, s, wantedRestore(all))
	}
	return nil
}

// begun is a restore that has begun and is not over, where the record of it is lost, as with `kubectl replace`.
func begun(all []v1alpha1.ConsulRestore) (resources.RestoreRecord, bool) {
	started := slices.DeleteFunc(slices.Clone(all), func(r v1alpha1.ConsulRestore) bool {
		changedNothing := r.Status.CompletedAt != nil && r.Status.RestoredAt == nil && !r.Status.DataUnknown
		return r.Status.StartedAt == nil || changedNothing
	})
	if len(started) == 0 {
		return resources.RestoreRecord{}, false
	}
	last := slices.MaxFunc(started, func(a, b v1alpha1.ConsulRestore) int {
		return a.Status.StartedAt.Compare(b.Status.StartedAt.Time)
	})
	return resources.RecordOfRestore(&last), !isRestoreOver(last)
}

// wantedRestore is the first one that has all it needs; nil if there is none.
func wantedRestore(all []v1alpha1.ConsulRestore) *plan.Restore {
	ready := slices.DeleteFunc(slices.Clone(all), func(r v1alpha1.ConsulRestore) bool {
		_, wasCompleted := r.Annotations[v1alpha1.AnnotationCompleted]
		isDone := wasCompleted || r.Status.CompletedAt != nil || r.Status.RestoredAt != nil || !r.DeletionTimestamp.IsZero()
		return isDone || r.Status.PreparedAt == nil
	})
	if len(ready) == 0 {
		return nil
	}
	first := slices.MinFunc(ready, func(a, b v1alpha1.ConsulRestore) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	return &plan.Restore{Name: first.Name, UID: string(first.UID)}
}

// isRestoreOver reports whether nothing is left to do but what the operator does for any cluster. One of which nobody knows how
// it ended is not: a person restores once more.
func isRestoreOver(r v1alpha1.ConsulRestore) bool {
	return r.Status.RestoredAt != nil || r.Status.CompletedAt != nil && !r.Status.DataUnknown
}

// readyOf is what a ConsulRestore says of itself.
func readyOf(r v1alpha1.ConsulRestore) plan.Problem {
	if ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return plan.Problem{Reason: reason.Reason(ready.Reason), Message: ready.Message}
	}
	return plan.Problem{Reason: reason.RestoreQueued, Message: "it was just asked for"}
}

// nextRestore has another ConsulRestore take the place of one that is incomplete, once nothing of that goes on: it would replace
// the data once more.
func (o *Observer) nextRestore(ctx context.Context, s *Snapshot, next *plan.Restore) error {
	if next == nil {
		return nil
	}
	stopped, err := o.hasStopped(ctx, s.Cluster.Namespace, s.Spec.Restore.Name)
	if stopped {
		s.Spec.Restore.Next = next
	} else {
		s.Spec.Restore.Ready.Message += fmt.Sprintf("; ConsulRestore %s begins when the pod of Job %s has stopped",
			next.Name, resources.RestoreJobName(s.Spec.Restore.Name))
	}
	return err
}

// deletedRestore is over when nothing of it goes on.
func (o *Observer) deletedRestore(ctx context.Context, s *Snapshot) (err error) {
	s.Spec.Restore.Ready = plan.Problem{Reason: reason.Restoring, Message: "it was deleted, and its Job has not stopped yet"}
	s.Spec.Restore.Over, err = o.hasStopped(ctx, s.Cluster.Namespace, s.Spec.Restore.Name)
	return err
}

// hasStopped reports whether nothing of a ConsulRestore goes on. Garbage collection deletes a Job before its pods, and a Job may
// have failed before its pod has stopped. The cache has no such pods, and may not have a Job yet that is there.
func (o *Observer) hasStopped(ctx context.Context, namespace, restore string) (bool, error) {
	job, name := &batchv1.Job{}, resources.RestoreJobName(restore)
	err := o.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, job)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading the Job %s: %w", name, err)
	}
	if err == nil && !hasEnded(job) {
		return false, nil
	}
	var pods corev1.PodList
	if err := o.Live.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{batchv1.JobNameLabel: name}); err != nil {
		return false, fmt.Errorf("listing the pods of Job %s: %w", name, err)
	}
	return !slices.ContainsFunc(pods.Items, func(pod corev1.Pod) bool { return !isFinished(&pod) }), nil
}

// hasEnded reports whether a Job creates no more pods.
func hasEnded(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed)
	})
}

// founding fills in the snapshot with which a new cluster begins, and passes over the serials of the servers in it. That it does
// is recorded until the snapshot is restored: a ConsulRestore that is deleted is asked for again, and one that is there is as
// good as the record.
func founding(s *Snapshot, all []v1alpha1.ConsulRestore) {
	_, recorded := s.Cluster.Annotations[v1alpha1.AnnotationFounding]
	recorded = recorded && !s.Copied
	i := slices.IndexFunc(all, func(r v1alpha1.ConsulRestore) bool { return resources.IsFoundingRestore(s.Cluster, &r) })
	isAsked := s.Cluster.Spec.Bootstrap.FromSnapshot != nil && !s.Spec.Bootstrapped
	isPending := i >= 0 && all[i].Status.RestoredAt == nil
	if !recorded && !isAsked && !isPending {
		return
	}
	f := &plan.Founding{Name: resources.FoundingRestoreName(s.Cluster.Name), Recorded: recorded || isPending}
	s.Spec.Founding = f
	if i < 0 {
		f.Asked = s.Cluster.Spec.Bootstrap.FromSnapshot != nil
		return
	}
	status := all[i].Status
	s.Spec.NextSerial = max(s.Spec.NextSerial, int(status.NextSerial))
	f.Asked, f.Exists, f.Prepared, f.Restored = true, true, status.PreparedAt != nil, status.RestoredAt != nil
	f.Ready = readyOf(all[i])
}
