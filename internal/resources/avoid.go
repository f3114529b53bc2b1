package resources

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// avoid keeps a pod off these nodes, in addition to the user's own affinity.
func avoid(pod *corev1.Pod, nodes []string) {
	delete(pod.Annotations, v1alpha1.AnnotationAvoidNodes) // a value set by the user would be wrong
	if len(nodes) == 0 {
		return
	}
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, v1alpha1.AnnotationAvoidNodes, strings.Join(nodes, ","))
	if pod.Spec.Affinity.NodeAffinity == nil {
		pod.Spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	var requirements []corev1.NodeSelectorRequirement
	for _, node := range nodes { // matchFields allows only one value each
		requirements = append(requirements, corev1.NodeSelectorRequirement{
			Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpNotIn, Values: []string{node},
		})
	}
	required := &pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if *required == nil {
		*required = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: requirements}}}
		return
	}
	terms := (*required).NodeSelectorTerms
	for i := range terms { // terms are ORed; an empty term matches no node, and must stay empty
		if len(terms[i].MatchExpressions)+len(terms[i].MatchFields) > 0 {
			terms[i].MatchFields = append(terms[i].MatchFields, requirements...)
		}
	}
}

// Avoids returns the nodes that Server.Avoid keeps a pod off.
func Avoids(pod *corev1.Pod) []string {
	if nodes := pod.Annotations[v1alpha1.AnnotationAvoidNodes]; nodes != "" {
		return strings.Split(nodes, ",")
	}
	return nil
}
