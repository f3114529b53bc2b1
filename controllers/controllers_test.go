package controllers

import (
	"fmt"
	"reflect"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// A cache of thousands of servers has no room for what nobody reads.
func TestTheCacheKeepsWhatIsRead(t *testing.T) {
	g := NewWithT(t)
	meta := metav1.ObjectMeta{
		Namespace: "default", Name: "consul-0", UID: "pod", ResourceVersion: "7", Generation: 2,
		Labels:        map[string]string{v1alpha1.LabelCluster: "consul"},
		Annotations:   map[string]string{v1alpha1.AnnotationAvoidNodes: "node-2"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet"}},
	}
	slim := meta
	slim.ManagedFields = nil
	status := corev1.PodStatus{PodIP: "10.0.0.1"}
	settings := corev1.Volume{Name: "settings"} // by which it is seen that a server can read settings again
	settings.DownwardAPI = &corev1.DownwardAPIVolumeSource{}
	pod := &corev1.Pod{
		ObjectMeta: meta, Status: status, Spec: corev1.PodSpec{
			NodeName: "node-1", Containers: []corev1.Container{{Name: "consul"}}, Volumes: []corev1.Volume{{Name: "data"}, settings},
			RestartPolicy: corev1.RestartPolicyOnFailure,
		},
	}
	secret := &corev1.Secret{ObjectMeta: meta, Immutable: new(true), Data: map[string][]byte{"pod.json": []byte("{}")}}

	g.Expect(kept(t, pod)).To(Equal(&corev1.Pod{ObjectMeta: slim, Status: status, Spec: corev1.PodSpec{
		NodeName: "node-1", Volumes: []corev1.Volume{settings}, RestartPolicy: corev1.RestartPolicyOnFailure,
	}}))
	g.Expect(kept(t, &discoveryv1.EndpointSlice{
		ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{"10.0.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: new(false), Serving: new(true)},
			NodeName: new("node-1"), Zone: new("zone"), TargetRef: &corev1.ObjectReference{Name: "consul-0"},
		}},
	})).To(Equal(&discoveryv1.EndpointSlice{
		ObjectMeta: slim, AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{"10.0.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: new(false)},
		}},
	}))
	stripped := kept(t, secret).(*corev1.Secret)
	g.Expect(stripped).To(Equal(&corev1.Secret{ObjectMeta: slim, Immutable: new(true), Data: resources.Cached(secret)}))
	g.Expect(resources.CachedDigest(stripped)).To(Equal(resources.Digest(secret)))
	g.Expect(stripped.Data).NotTo(ContainElement(BeEquivalentTo("{}")))
	keys := resources.NewGossipKeys().WithNext(resources.NewGossipKeys())
	gossip := resources.GossipSecret(&v1alpha1.ConsulCluster{}, keys)
	gossip.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: keys.New()} // kubectl apply of a backup
	cached := kept(t, gossip).(*corev1.Secret)
	g.Expect(fmt.Sprintf("%s", cached.Data)).NotTo(Or(ContainSubstring(keys.New()), ContainSubstring(keys.Settled().New())),
		"no key is kept in memory")
	g.Expect(cached.Annotations).NotTo(HaveKey(corev1.LastAppliedConfigAnnotation), "nor there")
	g.Expect(resources.CachedGossipStage(cached)).To(Equal(resources.GossipComing))
	g.Expect(pod.Spec.Containers).NotTo(BeEmpty(), "what is not the cache's is left alone")
}

// Texts are shared while there is room: somebody may label each object in another way.
func TestSharedTexts(t *testing.T) {
	g := NewWithT(t)
	some := texts{known: map[string]string{}}
	g.Expect(some.keys(nil)).To(BeNil())
	for i := range 2 * mostTexts {
		labels := map[string]string{fmt.Sprint(i): "a", "consul": "b"}
		g.Expect(some.keys(labels)).To(Equal(labels))
	}
	g.Expect(some.known).To(HaveLen(mostTexts))
	object := corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		OwnerReferences: []metav1.OwnerReference{{Kind: "ConsulCluster", Name: "consul"}},
	}}
	stripped, err := stripMeta(object.DeepCopy())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stripped).To(Equal(&object))
}

// kept is what the cache keeps of an object.
func kept(t *testing.T, o client.Object) any {
	t.Helper()
	for of, by := range Cache(nil).ByObject {
		if reflect.TypeOf(of) == reflect.TypeOf(o) {
			stripped, err := by.Transform(o)
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			again, err := by.Transform(stripped.(client.Object).DeepCopyObject())
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			NewWithT(t).Expect(again).To(Equal(stripped), "informers call it twice")
			return stripped
		}
	}
	t.Fatalf("the cache has no %T", o)
	return nil
}
