package observe_test

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/internal/observe"
)

// Few API servers have PodMonitors, and fewer are asked for them. Without one, everything else goes on.
func TestPodMonitorsOfTheAPIServer(t *testing.T) {
	refused := apierrors.NewForbidden(schema.GroupResource{Resource: "podmonitors"}, "consul-server", nil)
	found := unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "consul-server"}}}
	for what, test := range map[string]struct {
		answer func(*unstructured.Unstructured) error
		want   func(*WithT, observe.PodMonitor)
		asked  int // in two passes
	}{
		"no such kind": {
			func(*unstructured.Unstructured) error { return &meta.NoKindMatchError{} },
			func(g *WithT, p observe.PodMonitor) { g.Expect(p).To(Equal(observe.PodMonitor{})) }, 1,
		},
		"none": {
			func(*unstructured.Unstructured) error {
				return apierrors.NewNotFound(schema.GroupResource{}, "consul-server")
			},
			func(g *WithT, p observe.PodMonitor) { g.Expect(p).To(Equal(observe.PodMonitor{Possible: true})) }, 2,
		},
		"one": {
			func(o *unstructured.Unstructured) error { found.DeepCopyInto(o); return nil },
			func(g *WithT, p observe.PodMonitor) { g.Expect(p.Live.GetName()).To(Equal("consul-server")) }, 2,
		},
		"refused": {
			func(*unstructured.Unstructured) error { return refused },
			func(g *WithT, p observe.PodMonitor) { g.Expect(p.Unread).To(MatchError(refused)) }, 2,
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			asked := 0
			o := w.observer()
			o.Live = interceptor.NewClient(o.Live.(client.WithWatch), interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					if monitor, is := o.(*unstructured.Unstructured); is {
						asked++
						return test.answer(monitor)
					}
					return c.Get(ctx, key, o, opts...)
				},
			})
			_, err := o.Observe(t.Context(), w.cluster)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(asked).To(BeZero(), "nobody has asked for it")
			w.cluster.Spec.Metrics.Enabled = true
			s, err := o.Observe(t.Context(), w.cluster)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(s.Raft.Known).To(BeTrue())
			test.want(w.WithT, s.PodMonitor)
			_, err = o.Observe(t.Context(), w.cluster)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(asked).To(Equal(test.asked))
		})
	}
}
