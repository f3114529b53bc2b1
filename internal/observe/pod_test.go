package observe

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// running is a pod whose Consul runs, and nothing else is known of it.
func running() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "consul-0", Labels: map[string]string{v1alpha1.LabelRevision: "r"}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1", ContainerStatuses: []corev1.ContainerStatus{
			{Name: "consul", Image: "consul:9.9.9", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
		}},
	}
}

func condition(kind corev1.PodConditionType, status corev1.ConditionStatus, reason, message string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
			Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(noon),
		})
	}
}

func waiting(reason, message string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.ContainerStatuses[0].State = corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
		}
	}
}

// ended is a container that a kubelet starts again only if it failed.
func ended(container int, code int32, after time.Duration) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: "theirs"})
		pod.Status.ContainerStatuses[container].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: code, StartedAt: metav1.NewTime(noon), FinishedAt: metav1.NewTime(noon.Add(after)),
		}}
	}
}

func notRunning(facts *plan.Pod) { facts.Running = false }

func cannotStart(message string) func(*plan.Pod) {
	return func(facts *plan.Pod) {
		facts.Running, facts.Problem = false, plan.Problem{Reason: reason.ServerCannotStart, Message: message}
	}
}

func nothing(*plan.Pod) {}

// all combines several changes of a pod.
func all(changes ...func(*corev1.Pod)) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		for _, change := range changes {
			change(pod)
		}
	}
}

func TestConditions(t *testing.T) {
	expectFacts(t, map[string]facts{
		"runs":        {func(*corev1.Pod) {}, nothing},
		"ready":       {condition(corev1.PodReady, corev1.ConditionTrue, "", ""), func(f *plan.Pod) { f.Ready = true }},
		"not ready":   {condition(corev1.PodReady, corev1.ConditionFalse, "", ""), nothing},
		"maybe ready": {condition(corev1.PodReady, corev1.ConditionUnknown, "", ""), nothing},
		"its gate is on": {condition(v1alpha1.GateServing, corev1.ConditionTrue, "", ""), func(f *plan.Pod) {
			f.Serving, f.ServingFrom = true, noon
		}},
		"its gate went off": {condition(v1alpha1.GateServing, corev1.ConditionFalse, "", ""), func(f *plan.Pod) {
			f.ServingFrom = noon
		}},
		"scheduled": {condition(corev1.PodScheduled, corev1.ConditionTrue, "", ""), nothing},
		"unschedulable": {
			condition(corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable, "no node has room"),
			func(f *plan.Pod) {
				f.Problem = plan.Problem{Reason: reason.Unschedulable, Message: "no node has room"}
			},
		},
		"held back by somebody else's gate": {
			condition(corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonSchedulingGated, "wait"), nothing,
		},
		"of no interest": {condition(corev1.PodInitialized, corev1.ConditionFalse, "Unschedulable", "x"), nothing},
		"failed":         {func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed }, func(f *plan.Pod) { f.Finished = true }},
		"succeeded":      {func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodSucceeded }, func(f *plan.Pod) { f.Finished = true }},
		"has left, beside a container that runs on": {
			ended(0, 0, time.Hour), func(f *plan.Pod) { f.Running, f.Finished = false, true },
		},
		"has crashed": {ended(0, 1, time.Second), notRunning},
		"an image without Consul": {ended(0, 0, time.Second), func(f *plan.Pod) {
			cannotStart("container consul has ended with code 0 after 1s: check spec.image")(f)
			f.Finished = true
		}},
		"a container of the user's has ended": {ended(1, 0, time.Hour), func(f *plan.Pod) {
			f.Unready = "container theirs has ended with code 0 and is not started again: let it run on, or make it an init container " +
				"with restartPolicy Always"
		}},
		"a container of the user's has ended in a pod that stops": {
			all(ended(1, 0, time.Hour), func(pod *corev1.Pod) { pod.DeletionTimestamp = &metav1.Time{Time: noon} }),
			func(f *plan.Pod) { f.Terminating, f.StopBy = true, noon },
		},
		"has left, in a pod of before, and is started again": {
			func(pod *corev1.Pod) {
				ended(0, 0, time.Hour)(pod)
				pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
			}, notRunning,
		},
		"created": {
			func(pod *corev1.Pod) { pod.CreationTimestamp = metav1.NewTime(noon) }, func(f *plan.Pod) { f.Created = noon },
		},
		"terminating, until its grace period ends": {
			func(pod *corev1.Pod) { pod.DeletionTimestamp = &metav1.Time{Time: noon.Add(30 * time.Second)} },
			func(f *plan.Pod) { f.Terminating, f.StopBy = true, noon.Add(30*time.Second) },
		},
		"new": {
			func(pod *corev1.Pod) { pod.Labels, pod.Status = nil, corev1.PodStatus{} },
			func(f *plan.Pod) { *f = plan.Pod{} },
		},
	})
}

func TestContainers(t *testing.T) {
	crashed := func(log string) func(*corev1.Pod) {
		return func(pod *corev1.Pod) {
			pod.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
				ExitCode: 1, Message: log,
			}
		}
	}
	broken := func(name, message string) corev1.ContainerStatus {
		why := &corev1.ContainerStateWaiting{Reason: "CreateContainerError", Message: message}
		return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Waiting: why}}
	}
	other := func(pod *corev1.Pod) {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, broken("exporter", "x"))
	}
	initially := func(pod *corev1.Pod) {
		pod.Status.InitContainerStatuses = []corev1.ContainerStatus{broken("prepare", "y")}
	}
	const pull = "image consul:9.9.9 cannot be pulled: check spec.version and spec.image"
	expectFacts(t, map[string]facts{
		"being created": {waiting("ContainerCreating", ""), notRunning},
		"initialized":   {waiting("PodInitializing", ""), notRunning},
		"about to":      {waiting("", ""), notRunning},
		"ended": {func(pod *corev1.Pod) {
			pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
		}, notRunning},
		// They take turns, and the status must not flip with them.
		"cannot be pulled":       {waiting("ErrImagePull", "manifest unknown"), cannotStart(pull)},
		"cannot be pulled still": {waiting("ImagePullBackOff", "back-off"), cannotStart(pull)},
		"cannot be created": {waiting("CreateContainerConfigError", "no Secret x"),
			cannotStart("container consul: CreateContainerConfigError: no Secret x")},
		"crashes": {all(waiting("CrashLoopBackOff", "back-off 10s"), crashed("==> bad\n  log_level \n")),
			cannotStart("container consul exits with code 1: ==> bad log_level")},
		"runs again after a crash": {crashed("==> bad"), nothing},
		"one beside it does not start": {other, func(f *plan.Pod) {
			cannotStart("container exporter: CreateContainerError: x")(f)
			f.Running = true
		}},
		"the first problem is told": {all(other, initially, waiting("PodInitializing", "")),
			cannotStart("container prepare: CreateContainerError: y")},
		"unschedulable comes first": {
			all(condition(corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable, "full"), other),
			func(f *plan.Pod) { f.Problem = plan.Problem{Reason: reason.Unschedulable, Message: "full"} },
		},
	})
}

// facts are a change of a running pod, and the expected result.
type facts struct {
	change func(*corev1.Pod)
	want   func(*plan.Pod)
}

func expectFacts(t *testing.T, cases map[string]facts) {
	t.Helper()
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			pod := running()
			test.change(pod)
			want := &plan.Pod{Revision: "r", Address: "10.0.0.1", Running: true}
			test.want(want)
			NewWithT(t).Expect(podFacts(pod)).To(Equal(want))
		})
	}
}

// A pod comes from the cache, which others read, so it must not be changed.
func TestAPodIsNotChanged(t *testing.T) {
	pod := running()
	pod.Status.InitContainerStatuses = make([]corev1.ContainerStatus, 1, 5)
	pod.Status.InitContainerStatuses[0].Name = "prepare"
	before := pod.DeepCopy()
	podFacts(pod)
	g := NewWithT(t)
	g.Expect(pod).To(Equal(before))
	g.Expect(pod.Status.InitContainerStatuses[:2][1].Name).To(BeEmpty(), "nor what lies behind its slices")
}

func TestLastLines(t *testing.T) {
	g := NewWithT(t)
	g.Expect(lastLines(" one\n\n two\t")).To(Equal("one two"))
	long := lastLines(strings.Repeat("ö", 200) + " the end")
	g.Expect(long).To(HavePrefix("…"))
	g.Expect(long).To(HaveSuffix("ö the end"))
	g.Expect(utf8.ValidString(long)).To(BeTrue())
	g.Expect(len(long)).To(BeNumerically("<=", 300+len("…")))
	odd := lastLines(strings.Repeat("ö", 200) + "x the end")
	g.Expect(utf8.ValidString(odd)).To(BeTrue(), "cut in the middle of a rune")
}
