package observe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// podFacts returns what a pod's status says about its server.
func podFacts(pod *corev1.Pod) *plan.Pod {
	facts := &plan.Pod{
		Revision:    pod.Labels[v1alpha1.LabelRevision],
		Address:     pod.Status.PodIP,
		Node:        pod.Spec.NodeName,
		Avoids:      resources.Avoids(pod),
		Terminating: !pod.DeletionTimestamp.IsZero(),
		Recovery:    pod.Annotations[v1alpha1.AnnotationRecovery],
		Finished:    isFinished(pod),
		Created:     pod.CreationTimestamp.Time,
	}
	facts.Gossip, _ = plan.ParseGossipPhase(pod.Annotations[v1alpha1.AnnotationGossip]) // a pod without it has no key
	if resources.PodHasTLS(pod) {                                                       // whatever becomes of the annotation
		said, _ := plan.ParseTLSPhase(pod.Annotations[v1alpha1.AnnotationTLS])
		facts.TLS = max(said, plan.TLSAccepting)
	}
	facts.ACLs = aclsOfPod(pod)
	facts.MayHaveKey = mayHaveKey(pod)
	facts.Settings, facts.Reloads = resources.SettingsOf(pod)
	// Absent on a pod that has its first settings.
	facts.GivenAt, _ = time.Parse(time.RFC3339, pod.Annotations[v1alpha1.AnnotationSettingsGiven])

	if facts.Terminating { // the API server sets this to the end of the grace period
		facts.StopBy = pod.DeletionTimestamp.Time
	}
	for _, condition := range pod.Status.Conditions {
		isTrue := condition.Status == corev1.ConditionTrue
		switch condition.Type {
		case corev1.PodReady:
			facts.Ready = isTrue
		case v1alpha1.GateServing:
			facts.Serving, facts.ServingFrom = isTrue, condition.LastTransitionTime.Time
		case corev1.PodScheduled:
			if !isTrue && condition.Reason == corev1.PodReasonUnschedulable {
				facts.Problem = plan.Problem{Reason: reason.Unschedulable, Message: condition.Message}
			}
		}
	}
	addContainers(facts, pod)
	return facts
}

// addContainers adds what the status says of the containers.
func addContainers(facts *plan.Pod, pod *corev1.Pod) {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		containerFacts(facts, status)
	}
	for _, status := range pod.Status.ContainerStatuses {
		switch {
		case !staysEnded(pod, status) || facts.Terminating:
		case status.Name != resources.ContainerConsul:
			facts.Unready = fmt.Sprintf("container %s has ended with code 0 and is not started again: let it run on, or make it an "+
				"init container with restartPolicy Always", status.Name)
		case lasted(status) < briefly && facts.Problem.Reason == "":
			facts.Problem = plan.Problem{Reason: reason.ServerCannotStart, Message: fmt.Sprintf(
				"container %s has ended with code 0 after %s: check spec.image", status.Name, lasted(status).Round(time.Second))}
		}
	}
}

// briefly is how long a container runs of which Consul is not the program. A server that leaves takes longer.
const briefly = 3 * time.Second

func lasted(status corev1.ContainerStatus) time.Duration {
	ended := status.State.Terminated
	return ended.FinishedAt.Sub(ended.StartedAt.Time)
}

// isFinished reports whether a pod's server will never run again: the pod has ended, or Consul has left the cluster and exited,
// beside containers of the user's that run on.
func isFinished(pod *corev1.Pod) bool {
	hasLeft := slices.ContainsFunc(pod.Status.ContainerStatuses, func(status corev1.ContainerStatus) bool {
		return status.Name == resources.ContainerConsul && staysEnded(pod, status)
	})
	return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded || hasLeft
}

// staysEnded reports whether a container has ended in order and is not started again.
func staysEnded(pod *corev1.Pod, status corev1.ContainerStatus) bool {
	ended := status.State.Terminated
	return ended != nil && ended.ExitCode == 0 && pod.Spec.RestartPolicy == corev1.RestartPolicyOnFailure
}

// mayHaveKey reports whether the server of a pod may have the gossip key. It has none if it was given none, or if its init
// container found none, neither in the Secret nor on the volume.
func mayHaveKey(pod *corev1.Pod) bool {
	foundNone := slices.ContainsFunc(pod.Status.InitContainerStatuses, func(status corev1.ContainerStatus) bool {
		ended := cmp.Or(status.State.Terminated, status.LastTerminationState.Terminated)
		return status.Name == resources.ContainerGossipKey && ended != nil && ended.ExitCode != 0
	})
	return resources.GivenGossipKey(pod) && !foundNone
}

// containerFacts adds what one container's status says. Only the first problem is reported.
func containerFacts(facts *plan.Pod, status corev1.ContainerStatus) {
	if problem := startProblem(status); problem != "" && facts.Problem.Reason == "" {
		facts.Problem = plan.Problem{Reason: reason.ServerCannotStart, Message: problem}
	}
	if status.Name == resources.ContainerConsul {
		facts.Running = status.State.Running != nil
	}
}

// startProblem returns what keeps a container from running; empty if it runs or is about to.
func startProblem(status corev1.ContainerStatus) string {
	waiting := status.State.Waiting
	if waiting == nil || waiting.Reason == "" || waiting.Reason == "ContainerCreating" || waiting.Reason == "PodInitializing" {
		return ""
	}
	// Both reasons mean the same problem and alternate; the status must not alternate with them.
	if waiting.Reason == "ErrImagePull" || waiting.Reason == "ImagePullBackOff" {
		return fmt.Sprintf("image %s cannot be pulled: check spec.version and spec.image", status.Image)
	}
	if last := status.LastTerminationState.Terminated; last != nil {
		return fmt.Sprintf("container %s exits with code %d: %s", status.Name, last.ExitCode, lastLines(last.Message))
	}
	return fmt.Sprintf("container %s: %s: %s", status.Name, waiting.Reason, waiting.Message)
}

// lastLines returns as much of the end of a log as fits into a status.
func lastLines(log string) string {
	const most = 300
	log = strings.Join(strings.Fields(log), " ")
	if len(log) > most {
		log = "…" + strings.ToValidUTF8(log[len(log)-most:], "")
	}
	return log
}
