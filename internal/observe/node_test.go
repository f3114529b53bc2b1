package observe_test

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

func node(name string, change func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	change(n)
	return n
}

func asItIs(*corev1.Node) {}

func tainted(key string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: key, Effect: corev1.TaintEffectNoSchedule}} }
}

func TestNodesThatAreDrained(t *testing.T) {
	for name, test := range map[string]struct {
		node     *corev1.Node
		cordoned bool
	}{
		"as it is":                         {node("a", asItIs), false},
		"a candidate of the autoscaler":    {node("a", tainted("DeletionCandidateOfClusterAutoscaler")), false},
		"about to go, says an older one":   {node("a", tainted("karpenter.sh/disruption")), true},
		"cordoned":                         {node("a", func(n *corev1.Node) { n.Spec.Unschedulable = true }), true},
		"about to go, says the autoscaler": {node("a", tainted("ToBeDeletedByClusterAutoscaler")), true},
		"about to go, says Karpenter":      {node("a", tainted("karpenter.sh/disrupted")), true},
		"tainted for another reason":       {node("a", tainted("gpu")), false},
		"gone":                             {node("b", asItIs), false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pods[1].Spec.NodeName = "a"
			w.others = append(w.others, test.node)
			o := w.observer()
			o.Nodes = true
			s, err := o.Observe(t.Context(), w.cluster)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(s.Servers[1].Pod.Cordoned).To(Equal(test.cordoned))
		})
	}
}

func TestNodesThatAPodIsKeptFrom(t *testing.T) {
	w := newWorld(t)
	w.pods[1].Spec.NodeName = "a"
	w.pods[1].Annotations = map[string]string{v1alpha1.AnnotationAvoidNodes: "b,c"}
	s := w.look()
	w.Expect(s.Servers[1].Pod).To(And(HaveField("Node", "a"), HaveField("Avoids", []string{"b", "c"})))
	w.Expect(s.Servers[2].Pod).To(And(HaveField("Node", ""), HaveField("Avoids", BeEmpty())))
}

// A node that cannot be read counts neither as existing nor as deleted.
func TestANodeThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.pods[1].Spec.NodeName = "a"
	o := w.observer()
	o.Nodes = true
	o.Reader = interceptor.NewClient(o.Reader.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, is := o.(*corev1.Node); is {
				return errSay
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	_, err := o.Observe(t.Context(), w.cluster)
	w.Expect(err).To(MatchError(ContainSubstring("reading the node of consul-1: not today")))

	o.Nodes = false
	s, err := o.Observe(t.Context(), w.cluster)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(s.NodesKnown).To(BeFalse())
	w.Expect(s.Servers[1].Pod).To(HaveField("Cordoned", false))
}
