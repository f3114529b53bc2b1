package integration

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// alone is a cluster in a namespace of its own, without load, that may never get its first leader.
func alone(t *testing.T, name string, others ...client.Object) *story {
	t.Helper()
	s := &story{WithT: NewWithT(t), Scene: shared.Scene(client.ObjectKey{Namespace: name, Name: name}), t: t}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, o := range append([]client.Object{namespace}, others...) {
		s.Expect(s.Client.Create(t.Context(), o)).To(Succeed())
	}
	c := &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: name},
		Spec:       v1alpha1.ConsulClusterSpec{Version: older, Storage: v1alpha1.Storage{Size: resource.MustParse("1Gi")}},
	}
	s.Expect(s.Create(t.Context(), c)).To(Succeed())
	t.Cleanup(func() { _ = s.Client.Delete(t.Context(), c) })
	return s
}

// A quota is said in the API server's words, uses no serial up, and is tried again by itself.
func TestAQuotaThatIsUsedUp(t *testing.T) {
	t.Parallel()
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: "quota", Name: "one"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{
			corev1.ResourcePersistentVolumeClaims: resource.MustParse("1"),
		}},
	}
	s := alone(t, "quota", quota)
	s.until("the quota is named", func(c *v1alpha1.ConsulCluster) bool {
		return condition(c, v1alpha1.ConditionStalled, string(reason.QuotaExceeded))
	})
	serial := func() string { return s.cluster().Annotations[v1alpha1.AnnotationNextSerial] }
	s.Consistently(serial, 11*time.Second, time.Second).Should(Equal("1"), "nothing is used up")
	s.Expect(s.Client.Delete(t.Context(), quota)).To(Succeed())
	s.reach("after the quota is gone", 2*time.Minute)
	s.Expect(s.servers()).To(Equal([]string{"quota-0", "quota-1", "quota-2"}))
}

// A cluster is never healthy beside a Service of its name that is somebody else's.
func TestANameThatIsTaken(t *testing.T) {
	t.Parallel()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "taken", Name: "taken"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"},
	}
	s := alone(t, "taken", service)
	s.until("the Service is named", func(c *v1alpha1.ConsulCluster) bool {
		return condition(c, v1alpha1.ConditionStalled, string(reason.NameTaken))
	})
	s.Expect(s.count(&corev1.PersistentVolumeClaimList{})).To(BeZero(), "no server is created")
	s.Expect(s.Client.Delete(t.Context(), service)).To(Succeed())
	s.reach("after the Service is gone", 2*time.Minute)
}

// Servers that no node takes any more lead nothing, and the correction arrives all the same, on their volumes.
func TestACorrectionWithoutALeader(t *testing.T) {
	t.Parallel()
	label := func(value string) {
		var nodes corev1.NodeList
		NewWithT(t).Expect(shared.Client.List(t.Context(), &nodes)).To(Succeed())
		for i := range nodes.Items {
			node := nodes.Items[i].DeepCopy()
			node.Labels["pool"] = value
			NewWithT(t).Expect(shared.Client.Patch(t.Context(), node, client.MergeFrom(&nodes.Items[i]))).To(Succeed())
		}
	}
	label("old")
	s := begin(t, shared, "corrected", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.PodTemplate.NodeSelector = map[string]string{"pool": "old"}
	})
	s.Observer.SetFaults(true)
	s.Observer.AllowLeaderChanges(-1)
	volumes := s.volumes()
	label("new")
	for _, server := range s.servers() {
		s.Expect(s.Client.Delete(t.Context(), s.pod(server))).To(Succeed())
	}
	s.until("nobody leads, and no node takes a server", func(c *v1alpha1.ConsulCluster) bool {
		return condition(c, v1alpha1.ConditionReconciling, string(reason.NoLeader)) &&
			!slices.ContainsFunc(c.Status.Servers, func(server v1alpha1.ServerStatus) bool {
				return server.State != v1alpha1.ServerPending || !strings.Contains(server.Message, "node affinity/selector")
			})
	})
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.PodTemplate.NodeSelector = nil })
	s.reach("corrected", 2*time.Minute)
	s.Expect(s.volumes()).To(Equal(volumes), "on the volumes they had")
	s.Expect(s.verify().Timeline.Violations).To(BeEmpty())
}
