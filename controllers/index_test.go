package controllers

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// A pass of one cluster does not look at the objects of the others.
func TestListsUseTheIndex(t *testing.T) {
	g := NewWithT(t)
	pod := func(name, cluster string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, Labels: map[string]string{v1alpha1.LabelCluster: cluster, "component": "server"},
		}}
	}
	fields := ""
	builder := fake.NewClientBuilder().WithObjects(pod("a-0", "a"), pod("b-0", "b")).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			var asked client.ListOptions
			asked.ApplyOptions(options)
			if asked.FieldSelector != nil {
				fields = asked.FieldSelector.String()
			}
			return c.List(ctx, list, options...)
		},
	})
	for _, index := range indexes {
		builder = builder.WithIndex(index.kind, index.label, valueOf(index.label))
	}
	reader := indexed{builder.Build()}

	var pods corev1.PodList
	labels := client.MatchingLabels{v1alpha1.LabelCluster: "a", "component": "server"}
	g.Expect(reader.List(t.Context(), &pods, client.InNamespace("default"), labels)).To(Succeed())
	g.Expect(pods.Items).To(ConsistOf(HaveField("Name", "a-0")))
	g.Expect(fields).To(Equal(v1alpha1.LabelCluster + "=a"))

	g.Expect(reader.List(t.Context(), &pods)).To(Succeed())
	g.Expect(pods.Items).To(HaveLen(2), "without the label there is no index")
}
