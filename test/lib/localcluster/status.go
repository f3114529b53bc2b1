package localcluster

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// podStatusPatch holds what we own of a pod's status. It is written as a strategic merge patch, which merges conditions
// by type on the server: whatever others set, readiness gates above all, cannot be lost, however old our view of the
// pod is. (virtual-kubelet's pod controller replaces the whole status, so it is not used here.)
type podStatusPatch struct {
	ObservedGeneration    int64                    `json:"observedGeneration,omitempty"`
	Phase                 corev1.PodPhase          `json:"phase,omitempty"`
	Conditions            []corev1.PodCondition    `json:"-"`
	HostIP                string                   `json:"hostIP,omitempty"`
	HostIPs               []corev1.HostIP          `json:"hostIPs,omitempty"`
	PodIP                 string                   `json:"podIP,omitempty"`
	PodIPs                []corev1.PodIP           `json:"podIPs,omitempty"`
	StartTime             *metav1.Time             `json:"startTime,omitempty"`
	InitContainerStatuses []corev1.ContainerStatus `json:"initContainerStatuses,omitempty"`
	ContainerStatuses     []corev1.ContainerStatus `json:"containerStatuses,omitempty"`
}

// patchCondition always carries reason and message: left out, a merge would keep those of the state before.
type patchCondition struct {
	Type               corev1.PodConditionType `json:"type"`
	Status             corev1.ConditionStatus  `json:"status"`
	Reason             string                  `json:"reason"`
	Message            string                  `json:"message"`
	LastTransitionTime metav1.Time             `json:"lastTransitionTime"`
}

// apply writes the patch to the pod it was computed for, not to a successor of the same name.
func (p *podStatusPatch) apply(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod) error {
	type plain podStatusPatch
	body := struct {
		*plain
		Conditions []patchCondition `json:"conditions"`
	}{plain: (*plain)(p)}
	for _, c := range p.Conditions {
		body.Conditions = append(body.Conditions, patchCondition{c.Type, c.Status, c.Reason, c.Message, c.LastTransitionTime})
	}
	data, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": body})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name,
		types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
	return err
}

// reportStatus writes the status whenever something it depends on changed.
func (w *podWorker) reportStatus() {
	for {
		select {
		case <-w.forced.Done():
			return
		case <-w.done:
			return
		case <-w.dirty:
			w.writeStatus()
		}
	}
}

// writeStatus computes and writes under one lock: a newer status is never overtaken by an older one.
func (w *podWorker) writeStatus() {
	w.writeMu.Lock()
	defer w.writeMu.Unlock()
	for w.forced.Err() == nil {
		pod := w.newest()
		status := w.status(pod)
		if w.written != nil && reflect.DeepEqual(w.written, status) {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
		err := status.apply(ctx, w.kubelet.client, pod)
		cancel()
		if err == nil {
			w.written = status
			return
		}
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // gone, or another pod of this name
			return
		}
		w.kubelet.log.V(1).Info("writing the status failed, trying again", "pod", w.key.String(), "reason", err.Error())
		sleep(w.forced, 100*time.Millisecond)
	}
}

func (w *podWorker) status(pod *corev1.Pod) *podStatusPatch {
	w.mu.Lock()
	defer w.mu.Unlock()
	status := &podStatusPatch{
		ObservedGeneration: pod.Generation,
		Phase:              w.phase(pod),
		HostIP:             w.node.addresses[0],
		StartTime:          &w.start,
	}
	for _, address := range w.node.addresses {
		status.HostIPs = append(status.HostIPs, corev1.HostIP{IP: address})
	}
	for _, address := range w.addresses { // none, if it ended before it had any
		status.PodIP, status.PodIPs = w.addresses[0], append(status.PodIPs, corev1.PodIP{IP: address})
	}
	for _, c := range w.initContainers {
		status.InitContainerStatuses = append(status.InitContainerStatuses, c.status())
	}
	for _, c := range w.containers {
		status.ContainerStatuses = append(status.ContainerStatuses, c.status())
	}
	status.Conditions = w.conditions(pod, status.Phase)
	return status
}

func (c *container) status() corev1.ContainerStatus {
	started, ready := c.started, c.ready
	if c.init && !c.sidecar() {
		ready = c.state.Terminated != nil && c.state.Terminated.ExitCode == 0
	}
	status := corev1.ContainerStatus{
		Name: c.spec.Name, State: c.state, LastTerminationState: c.last,
		Ready: ready, Started: &started, RestartCount: c.restarts, Image: c.spec.Image,
	}
	if c.launched {
		status.ContainerID = c.containerID()
		status.ImageID = "program://" + c.spec.Image
	}
	return status
}

// phase follows the kubelet's getPhase.
func (w *podWorker) phase(pod *corev1.Pod) corev1.PodPhase {
	if !w.initialized {
		if w.finished && pod.Spec.RestartPolicy == corev1.RestartPolicyNever && slices.ContainsFunc(w.initContainers, failed) {
			return corev1.PodFailed
		}
		return corev1.PodPending
	}
	var running, waitingFirst, stopped, succeeded int
	for _, c := range w.containers {
		switch {
		case c.state.Running != nil:
			running++
		case c.state.Terminated != nil:
			stopped++
			if c.state.Terminated.ExitCode == 0 {
				succeeded++
			}
		case c.last.Terminated != nil:
			stopped++
		default:
			waitingFirst++
		}
	}
	switch {
	case waitingFirst > 0:
		return corev1.PodPending
	case running > 0 || !w.finished:
		return corev1.PodRunning
	case stopped == succeeded:
		return corev1.PodSucceeded
	}
	return corev1.PodFailed
}

func failed(c *container) bool {
	return c.state.Terminated != nil && c.state.Terminated.ExitCode != 0
}

// conditions computes those a kubelet owns.
func (w *podWorker) conditions(pod *corev1.Pod, phase corev1.PodPhase) []corev1.PodCondition {
	initialized := corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue}
	if !w.initialized {
		initialized.Status, initialized.Reason = corev1.ConditionFalse, "ContainersNotInitialized"
	}
	containers := w.containersReady(phase)
	ready := containers
	ready.Type = corev1.PodReady
	if ready.Status == corev1.ConditionTrue {
		if missing := closedGates(pod); len(missing) > 0 {
			ready.Status, ready.Reason = corev1.ConditionFalse, "ReadinessGatesNotReady"
			ready.Message = strings.Join(missing, ", ")
		}
	}
	sandbox := corev1.PodCondition{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue}
	if w.finished {
		sandbox.Status = corev1.ConditionFalse
	}
	all := []corev1.PodCondition{sandbox, initialized, ready, containers}
	for i := range all {
		if before, ok := w.transitions[all[i].Type]; ok && before.Status == all[i].Status {
			all[i].LastTransitionTime = before.LastTransitionTime
		} else {
			all[i].LastTransitionTime = metav1.Now()
		}
		w.transitions[all[i].Type] = all[i]
	}
	return all
}

func (w *podWorker) containersReady(phase corev1.PodPhase) corev1.PodCondition {
	condition := corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}
	if phase == corev1.PodSucceeded || phase == corev1.PodFailed {
		condition.Status, condition.Reason = corev1.ConditionFalse, "PodCompleted"
		return condition
	}
	var unready []string
	for _, c := range slices.Concat(w.initContainers, w.containers) {
		if (!c.init || c.sidecar()) && !c.ready {
			unready = append(unready, c.spec.Name)
		}
	}
	if len(unready) > 0 {
		condition.Status, condition.Reason = corev1.ConditionFalse, "ContainersNotReady"
		condition.Message = fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " "))
	}
	return condition
}

// closedGates tells which readiness gates keep the pod from being ready, in the kubelet's words.
func closedGates(pod *corev1.Pod) []string {
	var messages []string
	for _, gate := range pod.Spec.ReadinessGates {
		i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == gate.ConditionType })
		switch {
		case i < 0:
			messages = append(messages,
				fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", gate.ConditionType))
		case pod.Status.Conditions[i].Status != corev1.ConditionTrue:
			messages = append(messages, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v",
				gate.ConditionType, pod.Status.Conditions[i].Status))
		}
	}
	return messages
}
