package controllers

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// Clusters that have a server on a node are looked at when it is cordoned, and no other ones.
func TestClustersOnANode(t *testing.T) {
	g := NewWithT(t)
	pod := func(cluster, node string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: cluster + "-0", Namespace: "default", Labels: map[string]string{v1alpha1.LabelCluster: cluster},
			},
			Spec: corev1.PodSpec{NodeName: node},
		}
	}
	stranger := pod("", "node-1")
	stranger.Name, stranger.Labels = "stranger", nil
	reader := fake.NewClientBuilder().WithObjects(pod("here", "node-1"), pod("there", "node-2"), stranger).Build()
	requests := clustersOn(reader)(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}})
	g.Expect(requests).To(Equal([]reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: "default", Name: "here"}}}))
}
