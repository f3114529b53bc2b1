package virtualtime

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/timed"
)

// What the proofs need of an API server.

var podKey = objectKey{"Pod", "consul-0"}

func withPod(t *testing.T) (*WithT, *apiServer, *corev1.Pod) {
	g, s := NewWithT(t), newAPIServer(nil)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: podKey.name}}
	g.Expect(s.create(context.Background(), pod)).To(Succeed())
	return g, s, pod
}

func TestDeletionIsGraceful(t *testing.T) {
	g, s, pod := withPod(t)
	g.Expect(s.delete(context.Background(), pod)).To(Succeed())
	g.Expect(s.live[podKey].GetDeletionTimestamp()).NotTo(BeNil())
	versions := len(s.history["Pod"])
	g.Expect(s.delete(context.Background(), pod)).To(Succeed())
	g.Expect(s.history["Pod"]).To(HaveLen(versions), "a second deletion changes nothing")
	s.finish(podKey)
	g.Expect(s.live).NotTo(HaveKey(podKey))
	g.Expect(apierrors.IsNotFound(s.delete(context.Background(), pod))).To(BeTrue())
}

func TestDeletionHasPreconditions(t *testing.T) {
	g, s, pod := withPod(t)
	other, same := types.UID("another"), pod.UID
	g.Expect(apierrors.IsConflict(s.delete(context.Background(), pod, client.Preconditions{UID: &other}))).To(BeTrue())
	old := pod.ResourceVersion
	pod.Labels = map[string]string{"a": "b"}
	g.Expect(s.update(context.Background(), pod)).To(Succeed())
	stale := client.Preconditions{UID: &same, ResourceVersion: &old}
	g.Expect(apierrors.IsConflict(s.delete(context.Background(), pod, stale))).To(BeTrue())
	fresh := client.Preconditions{UID: &same, ResourceVersion: &pod.ResourceVersion}
	g.Expect(s.delete(context.Background(), pod, fresh)).To(Succeed())
}

func TestPatchesAreLocked(t *testing.T) {
	g, s, pod := withPod(t)
	patch := func(base *corev1.Pod, value string) error {
		changed := base.DeepCopy()
		changed.Annotations = map[string]string{"key": value}
		return s.patch(context.Background(), changed,
			client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}))
	}
	g.Expect(patch(pod, "1")).To(Succeed())
	g.Expect(s.live[podKey].GetAnnotations()).To(HaveKeyWithValue("key", "1"))
	g.Expect(apierrors.IsConflict(patch(pod, "2"))).To(BeTrue())
}

func TestAPatchOfOneConditionKeepsTheOthers(t *testing.T) {
	g, s, pod := withPod(t)
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
	g.Expect(s.updateStatus(context.Background(), pod)).To(Succeed())
	gate := func() error {
		base := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: podKey.name, UID: pod.UID}}
		gated := base.DeepCopy()
		gated.Status.Conditions = []corev1.PodCondition{{Type: v1alpha1.GateServing, Status: corev1.ConditionTrue}}
		return s.patchStatus(context.Background(), gated, client.StrategicMergeFrom(base))
	}
	g.Expect(gate()).To(Succeed())
	conditions := s.live[podKey].(*corev1.Pod).Status.Conditions
	g.Expect(conditions).To(HaveLen(2))
	g.Expect(timed.Gate(s.live[podKey].(*corev1.Pod))).To(BeTrue())
	versions := len(s.history["Pod"])
	g.Expect(gate()).To(Succeed())
	g.Expect(s.history["Pod"]).To(HaveLen(versions), "a patch that changes nothing makes no version")
}

func TestStatusIsApart(t *testing.T) {
	g, s := NewWithT(t), newAPIServer(nil)
	cluster := newCluster(3)
	g.Expect(s.create(context.Background(), cluster)).To(Succeed())
	key := objectKey{"ConsulCluster", clusterName}
	cluster.Status.Leader, cluster.Spec.Replicas = "consul-0", 5
	g.Expect(s.updateStatus(context.Background(), cluster.DeepCopy())).To(Succeed())
	g.Expect(s.live[key].(*v1alpha1.ConsulCluster).Status.Leader).To(Equal("consul-0"))
	g.Expect(s.live[key].(*v1alpha1.ConsulCluster).Spec.Replicas).To(BeEquivalentTo(3))
}
