package resources_test

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func not(node string) corev1.NodeSelectorRequirement {
	return corev1.NodeSelectorRequirement{
		Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpNotIn, Values: []string{node},
	}
}

func TestAPodIsKeptFromNodes(t *testing.T) {
	zone := []corev1.NodeSelectorRequirement{{
		Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"a"},
	}}
	for name, test := range map[string]struct {
		wanted *corev1.Affinity
		avoid  []string
		terms  []corev1.NodeSelectorTerm
	}{
		"from none": {nil, nil, nil},
		"from two": {
			nil, []string{"a", "b"}, []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{not("a"), not("b")}}},
		},
		"whatever else the user asks for": {
			&corev1.Affinity{}, []string{"a"}, []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{not("a")}}},
		},
		"in each of the user's alternatives": {
			&corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
					{MatchExpressions: zone}, {MatchFields: []corev1.NodeSelectorRequirement{not("c")}}, {},
				}},
			}},
			[]string{"a"},
			[]corev1.NodeSelectorTerm{
				{MatchExpressions: zone, MatchFields: []corev1.NodeSelectorRequirement{not("a")}},
				{MatchFields: []corev1.NodeSelectorRequirement{not("c"), not("a")}}, {},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := plain()
			c.Spec.PodTemplate.Affinity = test.wanted
			c.Spec.PodTemplate.Metadata.Annotations = map[string]string{v1alpha1.AnnotationAvoidNodes: "a user's"}
			secret, err := resources.RevisionSecret(c)
			g.Expect(err).NotTo(HaveOccurred())
			pod, err := resources.Pod(c, resources.Server{Name: "consul-3", Avoid: test.avoid}, secret)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(resources.Avoids(pod)).To(Equal(test.avoid))
			var terms []corev1.NodeSelectorTerm
			if node := pod.Spec.Affinity.NodeAffinity; node != nil {
				terms = node.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
			}
			g.Expect(terms).To(Equal(test.terms))
		})
	}
}
