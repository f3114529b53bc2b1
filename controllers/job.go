package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/backup"
	"github.com/consul-operator/consul-operator/internal/snapshot"
)

// jobs reads the Jobs of tasks, and creates them.
type jobs struct {
	client.Client
	// live reads past the cache, which has no pods but those of servers.
	live client.Reader
}

// read returns what is known of the Job of an owner.
func (j jobs) read(ctx context.Context, key types.NamespacedName, owner types.UID) (backup.Job, error) {
	return j.readFrom(ctx, j.Client, key, owner)
}

func (j jobs) readFrom(ctx context.Context, from client.Reader, key types.NamespacedName, owner types.UID) (backup.Job, error) {
	job := &batchv1.Job{}
	if err := from.Get(ctx, key, job); err != nil {
		return backup.Job{Name: key.Name}, client.IgnoreNotFound(err)
	}
	if of := metav1.GetControllerOf(job); of == nil || of.UID != owner {
		return backup.Job{Name: key.Name, Taken: whose(of)}, nil
	}
	known := backup.Job{
		Name: key.Name, Exists: true, StartedAt: job.CreationTimestamp.Time, Store: job.Annotations[v1alpha1.AnnotationStore],
		Objects: strings.Fields(job.Annotations[v1alpha1.AnnotationObjects]),
	}
	for _, condition := range job.Status.Conditions {
		if condition.Status != corev1.ConditionTrue {
			continue
		}
		switch condition.Type {
		case batchv1.JobComplete:
			known.Finished, known.Succeeded = true, true
			known.FinishedAt = condition.LastTransitionTime.Time
		case batchv1.JobFailed:
			known.Finished, known.FinishedAt = true, condition.LastTransitionTime.Time
			known.Failure = condition.Message
		}
	}
	return known, j.readPods(ctx, job, &known)
}

func whose(owner *metav1.OwnerReference) string {
	if owner == nil {
		return "no controller"
	}
	return owner.Kind + " " + owner.Name
}

// readPods adds what the newest pod of a Job says.
func (j jobs) readPods(ctx context.Context, job *batchv1.Job, known *backup.Job) error {
	var pods corev1.PodList
	if err := j.live.List(ctx, &pods, client.InNamespace(job.Namespace),
		client.MatchingLabels{batchv1.JobNameLabel: job.Name}); err != nil {
		return fmt.Errorf("listing the pods of Job %s: %w", job.Name, err)
	}
	ours := slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool { return !metav1.IsControlledBy(&pod, job) })
	if len(ours) == 0 && known.Finished {
		return nil // events of its end say nothing about its beginning
	}
	if len(ours) == 0 {
		warning, err := j.warning(ctx, job)
		known.Waiting = warning
		return err
	}
	newest := slices.MaxFunc(ours, func(a, b corev1.Pod) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	known.Waiting, known.Outcomes, known.NeverRan = waitingFor(&newest), outcomes(&newest), neverRan(&newest)
	known.Trouble = trouble(ours)
	// A pod is pending until the first of its containers have ended.
	if newest.Status.Phase == corev1.PodPending && known.NeverRan && known.Waiting == "" {
		warning, err := j.warning(ctx, &newest)
		known.Waiting = warning
		return err
	}
	if known.Failure != "" {
		known.Failure += endOf(&newest)
	}
	return nil
}

// trouble is what the last pod that failed has left behind; nil if none has.
func trouble(pods []corev1.Pod) *snapshot.Outcome {
	failed := slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool { return pod.Status.Phase != corev1.PodFailed })
	if len(failed) == 0 {
		return nil
	}
	last := slices.MaxFunc(failed, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	left := outcomes(&last)
	for _, container := range containersOf(&last) {
		if outcome := left[container.Name]; outcome.Reason != "" {
			return &outcome
		}
	}
	return nil
}

// containersOf are the states of all containers of a pod, in the order in which they run.
func containersOf(pod *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
}

// neverRan reports whether no container of a pod has started. Of one that has a node, only that node knows.
func neverRan(pod *corev1.Pod) bool {
	return pod.Spec.NodeName == "" && !slices.ContainsFunc(containersOf(pod), func(c corev1.ContainerStatus) bool {
		return c.State.Running != nil || c.State.Terminated != nil || c.LastTerminationState.Terminated != nil
	})
}

// endOf says how a container ended that left nothing behind, such as one that took too much memory.
func endOf(pod *corev1.Pod) string {
	for _, container := range containersOf(pod) {
		if ended := container.State.Terminated; ended != nil && ended.ExitCode != 0 {
			return fmt.Sprintf("; container %s ended with code %d (%s)", container.Name, ended.ExitCode, ended.Reason)
		}
	}
	return ""
}

// outcomes are what the containers of a pod left behind.
func outcomes(pod *corev1.Pod) map[string]snapshot.Outcome {
	all := map[string]snapshot.Outcome{}
	for _, container := range containersOf(pod) {
		if ended := container.State.Terminated; ended != nil {
			if outcome, is := snapshot.ReadOutcome(ended.Message); is {
				all[container.Name] = outcome
			}
		}
	}
	return all
}

// starting are the reasons for which a container waits that say nothing.
var starting = []string{"", "ContainerCreating", "PodInitializing"}

// waitingFor is why a pod does not run; empty if it does, or is only starting.
func waitingFor(pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return condition.Message
		}
	}
	for _, container := range containersOf(pod) {
		if waiting := container.State.Waiting; waiting != nil && !slices.Contains(starting, waiting.Reason) {
			return strings.TrimSuffix(waiting.Reason+": "+waiting.Message, ": ")
		}
	}
	return ""
}

// startWithin is how long a pod may take to start before people are told why it does not.
const startWithin = 20 * time.Second

// warning is the last warning about an object, such as that a Secret is missing, or that no pod may be created. Only events say
// so.
func (j jobs) warning(ctx context.Context, about client.Object) (string, error) {
	if time.Since(about.GetCreationTimestamp().Time) < startWithin {
		return "", nil
	}
	var events corev1.EventList
	if err := j.live.List(ctx, &events, client.InNamespace(about.GetNamespace()), client.MatchingFields{
		"involvedObject.uid": string(about.GetUID()), "type": corev1.EventTypeWarning,
	}); err != nil {
		return "", fmt.Errorf("listing events: %w", err)
	}
	if len(events.Items) == 0 {
		return "", nil
	}
	last := slices.MaxFunc(events.Items, func(a, b corev1.Event) int { return timeOf(a).Compare(timeOf(b)) })
	return last.Reason + ": " + last.Message, nil
}

// timeOf is when an event was seen last.
func timeOf(e corev1.Event) time.Time {
	if e.Series != nil {
		return e.Series.LastObservedTime.Time
	}
	return slices.MaxFunc([]time.Time{e.LastTimestamp.Time, e.EventTime.Time}, time.Time.Compare)
}

// create creates a Job of an owner, unless it is there: the cache may not have it yet. One of somebody else is not in the cache
// at all. What it returns is what is known of the Job then.
func (j jobs) create(ctx context.Context, job *batchv1.Job, owner types.UID) (backup.Job, error) {
	known := backup.Job{Name: job.Name}
	err := j.Create(ctx, job)
	if !apierrors.IsAlreadyExists(err) {
		known.Refused, err = refusal(err)
		return known, err
	}
	live := &batchv1.Job{}
	if err := j.live.Get(ctx, client.ObjectKeyFromObject(job), live); err != nil {
		return known, client.IgnoreNotFound(err)
	}
	if of := metav1.GetControllerOf(live); of == nil || of.UID != owner {
		known.Taken = whose(of)
	}
	return known, nil
}

// refusal is why the API server refuses what a person can make it accept, such as by another quota; any other error is returned.
func refusal(err error) (string, error) {
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		return "the API server refuses it: " + err.Error(), nil
	}
	return "", err
}

// saving are the UIDs of what has a Job of a cluster that goes on. It reads past the cache, which may not have the Job
// that was created a moment ago for one that was asked for in the same second.
func (j jobs) saving(ctx context.Context, c *v1alpha1.ConsulCluster) ([]types.UID, error) {
	var all batchv1.JobList
	if err := j.live.List(ctx, &all, client.InNamespace(c.Namespace),
		client.MatchingLabels{v1alpha1.LabelClusterUID: string(c.UID)}); err != nil {
		return nil, fmt.Errorf("listing Jobs: %w", err)
	}
	var owners []types.UID
	for i := range all.Items {
		job := &all.Items[i]
		if owner := metav1.GetControllerOf(job); owner != nil && !hasEnded(job) {
			owners = append(owners, owner.UID)
		}
	}
	return owners, nil
}

func hasEnded(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed)
	})
}

// How long Jobs stay that have ended, for their logs.
const (
	keepSucceeded = time.Hour
	keepFailed    = 24 * time.Hour
)

// end deletes a Job of an owner with its pods.
func (j jobs) end(ctx context.Context, key types.NamespacedName, owner types.UID) error {
	job := &batchv1.Job{}
	if err := j.Get(ctx, key, job); err != nil {
		return client.IgnoreNotFound(err)
	}
	if of := metav1.GetControllerOf(job); of == nil || of.UID != owner {
		return nil
	}
	uid := job.UID
	return client.IgnoreNotFound(j.Delete(ctx, job, client.Preconditions{UID: &uid},
		client.PropagationPolicy(metav1.DeletePropagationBackground)))
}

// expire has Kubernetes delete a Job later, when all that it has left behind is in the status.
func (j jobs) expire(ctx context.Context, key types.NamespacedName, owner types.UID) error {
	job := &batchv1.Job{}
	if err := j.Get(ctx, key, job); err != nil {
		return client.IgnoreNotFound(err)
	}
	if of := metav1.GetControllerOf(job); of == nil || of.UID != owner || job.Spec.TTLSecondsAfterFinished != nil {
		return nil
	}
	keep := keepFailed
	if slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue
	}) {
		keep = keepSucceeded
	}
	changed := job.DeepCopy()
	changed.Spec.TTLSecondsAfterFinished = ptr.To(int32(keep / time.Second))
	return client.IgnoreNotFound(j.Patch(ctx, changed, client.MergeFrom(job)))
}
