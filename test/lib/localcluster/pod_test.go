package localcluster_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func healthProbe() *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{
			HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("http")},
		},
		PeriodSeconds: 1, FailureThreshold: 1, TimeoutSeconds: 10, // what is healthy may be slow
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func setCondition(ctx context.Context, name, kind, value string) {
	GinkgoHelper()
	patch := fmt.Sprintf(`{"status":{"conditions":[{"type":%q,"status":%q}]}}`, kind, value)
	_, err := client.CoreV1().Pods(ns).Patch(ctx, name, types.StrategicMergePatchType, []byte(patch),
		metav1.PatchOptions{}, "status")
	Expect(err).NotTo(HaveOccurred())
}

var _ = Describe("A pod", func() {
	It("runs and becomes ready fast", func(ctx SpecContext) {
		begin := time.Now()
		create(ctx, helperPod("fast", "serve"))
		pod := eventuallyReady(ctx, "fast")
		AddReportEntry("the pod was ready after", time.Since(begin))
		Expect(pod.Status.Phase).To(Equal(corev1.PodRunning))
		Expect(pod.Status.PodIP).To(HavePrefix("127."))
		Expect(pod.Status.ContainerStatuses[0].Started).To(HaveValue(BeTrue()))
		Expect(pod.Status.ObservedGeneration).To(Equal(pod.Generation))

		begin = time.Now()
		remove(ctx, "fast")
		eventuallyGone(ctx, "fast")
		AddReportEntry("it was gone after", time.Since(begin))
	})

	It("honors readiness gates and keeps conditions of others", func(ctx SpecContext) {
		pod := helperPod("gated", "serve")
		pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}}
		create(ctx, pod)
		Eventually(func() corev1.ConditionStatus {
			return condition(get(ctx, "gated"), corev1.ContainersReady).Status
		}).Should(Equal(corev1.ConditionTrue))
		Expect(condition(get(ctx, "gated"), corev1.PodReady)).To(And(
			HaveField("Status", corev1.ConditionFalse), HaveField("Reason", "ReadinessGatesNotReady")))

		setCondition(ctx, "gated", "example.com/other", "Unknown")
		slowest := time.Duration(0)
		for range 10 {
			for _, value := range []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse} {
				begin := time.Now()
				setCondition(ctx, "gated", "example.com/gate", string(value))
				Eventually(isReady(ctx, "gated"), "1s", "2ms").Should(Equal(value))
				slowest = max(slowest, time.Since(begin))
			}
		}
		AddReportEntry("Ready followed the gate within", slowest)
		setCondition(ctx, "gated", "example.com/gate", "True")
		ready := condition(eventuallyReady(ctx, "gated"), corev1.PodReady)
		Expect(ready.Reason).To(BeEmpty(), "of the state before")
		Expect(ready.Message).To(BeEmpty(), "of the state before")

		By("writing the status for reasons of its own")
		pid, ok := cluster.PID(ns, "gated", "main")
		Expect(ok).To(BeTrue())
		Expect(syscall.Kill(pid, syscall.SIGKILL)).To(Succeed())
		Eventually(func() int32 { return status(ctx, "gated").RestartCount }).Should(BeEquivalentTo(1))
		pod = eventuallyReady(ctx, "gated")
		Expect(condition(pod, "example.com/other").Status).To(Equal(corev1.ConditionUnknown))
		Expect(condition(pod, "example.com/gate").Status).To(Equal(corev1.ConditionTrue))
		Expect(pod.Status.ContainerStatuses[0].LastTerminationState.Terminated).To(And(
			HaveField("ExitCode", BeEquivalentTo(137)), HaveField("Reason", "Error")))
	})

	It("loses no gate condition to a status written at the same time", func(ctx SpecContext) {
		pod := helperPod("race", "serve")
		pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}}
		pod.Spec.Containers[0].ReadinessProbe = healthProbe()
		create(ctx, pod)
		for i := range 40 { // while the pod starts and turns ready
			value := []string{"True", "False"}[i%2]
			setCondition(ctx, "race", "example.com/gate", value)
			Expect(condition(get(ctx, "race"), "example.com/gate").Status).To(BeEquivalentTo(value))
		}
		setCondition(ctx, "race", "example.com/gate", "True")
		Eventually(func(g Gomega) { // the node may not have got to the last one, and go through those before it
			g.Consistently(isReady(ctx, "race"), "300ms").Should(Equal(corev1.ConditionTrue))
		}).WithTimeout(30 * time.Second).Should(Succeed())
		Expect(condition(get(ctx, "race"), "example.com/gate").Status).To(BeEquivalentTo("True"))
	})

	It("is restarted at once, then with back-off", func(ctx SpecContext) {
		create(ctx, helperPod("crash", "exit", "3"))
		Eventually(func() *corev1.ContainerStateWaiting { return status(ctx, "crash").State.Waiting }).
			Should(HaveValue(And(HaveField("Reason", "CrashLoopBackOff"),
				HaveField("Message", HavePrefix("back-off 10s restarting failed container=main")))))
		s := status(ctx, "crash")
		Expect(s.RestartCount).To(BeEquivalentTo(1))
		Expect(s.LastTerminationState.Terminated.ExitCode).To(BeEquivalentTo(3))
		Expect(get(ctx, "crash").Status.Phase).To(Equal(corev1.PodRunning))
		log, err := os.ReadFile(cluster.LogFile(ns, "crash", "main"))
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.Count(string(log), "exiting with 3")).To(Equal(2))
		begin := time.Now()
		Eventually(func() int32 { return status(ctx, "crash").RestartCount }, "15s").Should(BeEquivalentTo(2))
		Expect(time.Since(begin)).To(BeNumerically(">", 8*time.Second))
	})

	It("ends by its restart policy", func(ctx SpecContext) {
		for name, policy := range map[string]corev1.RestartPolicy{
			"never": corev1.RestartPolicyNever, "onfailure": corev1.RestartPolicyOnFailure,
		} {
			pod := helperPod(name, "exit", map[string]string{"never": "4", "onfailure": "0"}[name])
			pod.Spec.RestartPolicy = policy
			create(ctx, pod)
		}
		Eventually(func() corev1.PodPhase { return get(ctx, "never").Status.Phase }).Should(Equal(corev1.PodFailed))
		Eventually(func() corev1.PodPhase { return get(ctx, "onfailure").Status.Phase }).Should(Equal(corev1.PodSucceeded))
		Expect(status(ctx, "never").State.Terminated.ExitCode).To(BeEquivalentTo(4))
		Expect(status(ctx, "onfailure").State.Terminated.Reason).To(Equal("Completed"))
		Expect(condition(get(ctx, "onfailure"), corev1.PodReady).Reason).To(Equal("PodCompleted"))
		remove(ctx, "never")
		eventuallyGone(ctx, "never")
	})

	It("is killed and restarted when it is not live, also if it then ends in order", func(ctx SpecContext) {
		var names []string
		for i := range 10 { // what goes wrong in between does so now and then
			name := fmt.Sprintf("sick-%d", i)
			names = append(names, name)
			pod := helperPod(name, "serve")
			pod.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
			pod.Spec.Containers[0].StartupProbe = healthProbe()
			pod.Spec.Containers[0].StartupProbe.FailureThreshold = 100
			pod.Spec.Containers[0].LivenessProbe = healthProbe()
			pod.Spec.Containers[0].ReadinessProbe = healthProbe()
			create(ctx, pod)
		}
		for _, name := range names {
			_, err := ask(eventuallyReady(ctx, name), "sicken", "")
			Expect(err).NotTo(HaveOccurred())
		}
		for _, name := range names {
			Eventually(func() int32 { return status(ctx, name).RestartCount }).Should(BeEquivalentTo(1))
			eventuallyReady(ctx, name)
			Expect(status(ctx, name).LastTerminationState.Terminated).To(HaveValue(HaveField("ExitCode", BeEquivalentTo(0))))
		}
	})

	It("is not started while its startup probe fails", func(ctx SpecContext) {
		pod := helperPod("slow", "serve")
		pod.Spec.Containers[0].StartupProbe = &corev1.Probe{
			ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{
				Command: []string{"/bin/sh", "-c", "test -e started && test -n \"$POD_IP\""},
			}},
			PeriodSeconds: 1, FailureThreshold: 100,
		}
		create(ctx, pod)
		Eventually(func() *corev1.ContainerStateRunning { return status(ctx, "slow").State.Running }).ShouldNot(BeNil())
		Consistently(func() bool { s := status(ctx, "slow"); return *s.Started || s.Ready }, "1500ms").Should(BeFalse())
		_, err := ask(get(ctx, "slow"), "write", "started", "yes")
		Expect(err).NotTo(HaveOccurred())
		Expect(eventuallyReady(ctx, "slow").Status.ContainerStatuses[0].Started).To(HaveValue(BeTrue()))
	})

	It("waits for its init containers and sidecars", func(ctx SpecContext) {
		always := corev1.ContainerRestartPolicyAlways
		pod := helperPod("init", "serve")
		pod.Spec.Volumes = []corev1.Volume{{Name: "shared", VolumeSource: corev1.VolumeSource{
			EmptyDir: &corev1.EmptyDirVolumeSource{},
		}}}
		mounts := []corev1.VolumeMount{{Name: "shared", MountPath: "/shared"}}
		shell := []string{"/bin/sh", "-c"}
		pod.Spec.InitContainers = []corev1.Container{
			{Name: "first", Image: helperImage, Command: shell, Args: []string{"echo one >/shared/log"}, VolumeMounts: mounts},
			{Name: "side", Image: helperImage, Command: shell, RestartPolicy: &always, VolumeMounts: mounts,
				Args: []string{"echo two >>/shared/log; exec sleep 1000"}},
			{Name: "last", Image: helperImage, Command: shell, VolumeMounts: mounts,
				Args: []string{"sleep 0.2; echo three >>/shared/log"}},
		}
		pod.Spec.Containers[0].VolumeMounts = mounts
		create(ctx, pod)
		pod = eventuallyReady(ctx, "init")
		Expect(ask(pod, "file", "shared/log")).To(Equal("one\ntwo\nthree\n"))
		pid, _ := cluster.PID(ns, "init", "side")
		Expect(alive(pid)).To(BeTrue())
		remove(ctx, "init")
		eventuallyGone(ctx, "init")
		Expect(alive(pid)).To(BeFalse())
	})

	It("is told why its image cannot be pulled, and can be deleted", func(ctx SpecContext) {
		pod := helperPod("image")
		pod.Spec.Containers[0].Image = "hashicorp/consul:0.0.1"
		create(ctx, pod)
		for _, reason := range []string{"ErrImagePull", "ImagePullBackOff"} {
			Eventually(func() *corev1.ContainerStateWaiting { return status(ctx, "image").State.Waiting }).
				Should(HaveValue(And(HaveField("Reason", reason), HaveField("Message", ContainSubstring("available are")))))
		}
		Expect(get(ctx, "image").Status.Phase).To(Equal(corev1.PodPending))
		remove(ctx, "image")
		eventuallyGone(ctx, "image")
	})

	It("has time to end, and its preStop hook too", func(ctx SpecContext) {
		pod := helperPod("graceful", "serve")
		c := &pod.Spec.Containers[0]
		c.Env = append(c.Env, corev1.EnvVar{Name: "TERM_DELAY", Value: "1s"})
		c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{
			Command: []string{"/bin/sh", "-c", "sleep 0.5; echo $POD_IP >../../../../preStop-ran"},
		}}}
		create(ctx, pod)
		eventuallyReady(ctx, "graceful")
		begin := time.Now()
		remove(ctx, "graceful")
		eventuallyGone(ctx, "graceful")
		Expect(time.Since(begin)).To(And(BeNumerically(">", 1500*time.Millisecond), BeNumerically("<", 5*time.Second)))
		Expect(os.ReadFile(cluster.LogFile(ns, "graceful", "main"))).To(ContainSubstring("terminating\ndone\n"))
		Expect(os.ReadFile(cluster.Dir() + "/preStop-ran")).To(ContainSubstring("127."))
	})

	It("is killed when its grace period is over, and its descendants with it", func(ctx SpecContext) {
		pod := helperPod("stubborn", "grandchild")
		pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: "TERM_DELAY", Value: "1h"})
		create(ctx, pod)
		eventuallyReady(ctx, "stubborn")
		var grandchild int
		Eventually(func() int {
			log, _ := os.ReadFile(cluster.LogFile(ns, "stubborn", "main"))
			_, _ = fmt.Sscanf(string(log), "grandchild %d", &grandchild)
			return grandchild
		}).ShouldNot(BeZero())
		pid, _ := cluster.PID(ns, "stubborn", "main")
		begin := time.Now()
		Expect(client.CoreV1().Pods(ns).Delete(ctx, "stubborn", *metav1.NewDeleteOptions(2))).To(Succeed())
		Consistently(func() bool { return alive(pid) }, "1500ms").Should(BeTrue())
		eventuallyGone(ctx, "stubborn")
		Expect(time.Since(begin)).To(And(BeNumerically(">", 1900*time.Millisecond), BeNumerically("<", 5*time.Second)))
		Expect(alive(pid)).To(BeFalse())
		Eventually(func() bool { return alive(grandchild) }).Should(BeFalse())
	})

	It("is killed when its object is deleted by force, and the next one gets another address", func(ctx SpecContext) {
		pod := helperPod("force", "serve")
		pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: "TERM_DELAY", Value: "1h"})
		create(ctx, pod)
		first := eventuallyReady(ctx, "force")
		pid, _ := cluster.PID(ns, "force", "main")
		log := cluster.LogFile(ns, "force", "main")
		Expect(client.CoreV1().Pods(ns).Delete(ctx, "force", *metav1.NewDeleteOptions(0))).To(Succeed())
		Eventually(func() bool { return alive(pid) }).Should(BeFalse())
		create(ctx, helperPod("force", "serve"))
		second := eventuallyReady(ctx, "force")
		Expect(second.Status.PodIP).NotTo(Equal(first.Status.PodIP))
		Expect(cluster.LogFile(ns, "force", "main")).NotTo(Equal(log))
		Expect(log).To(BeARegularFile())
	})

	It("goes with its owner", func(ctx SpecContext) {
		owner, err := client.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: "owner"},
		}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		pod := helperPod("owned", "serve")
		pod.OwnerReferences = []metav1.OwnerReference{
			*metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind("ConfigMap")),
		}
		create(ctx, pod)
		pod = eventuallyReady(ctx, "owned")
		text, err := ask(pod, "pid", "")
		Expect(err).NotTo(HaveOccurred())
		pid, _ := strconv.Atoi(text)
		Expect(client.CoreV1().ConfigMaps(ns).Delete(ctx, "owner", metav1.DeleteOptions{})).To(Succeed())
		eventuallyGone(ctx, "owned")
		Expect(alive(pid)).To(BeFalse())
	})
})
