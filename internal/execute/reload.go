package execute

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// errNotWritten means that a server has read its file again before the kubelet wrote it.
var errNotWritten = errors.New("the kubelet has not written its settings yet")

// settingsFor is what the server of a new pod reads. While the spec is not to be followed, it is what another server has.
func settingsFor(s *observe.Snapshot) string {
	wanted, _, err := resources.Settings(s.Cluster)
	if err == nil && s.Spec.Invalid == nil && !s.Spec.Paused {
		return wanted
	}
	for _, name := range slices.Sorted(maps.Keys(s.Pods)) {
		if given := s.Pods[name].Annotations[v1alpha1.AnnotationSettings]; given != "" {
			return given
		}
	}
	return resources.NoSettings
}

func (e *Executor) giveSettings(ctx context.Context, s *observe.Snapshot, a plan.GiveSettings) (Outcome, error) {
	file, _, err := resources.Settings(s.Cluster)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{}, e.patch(ctx, s.Pods[a.Server], func(o client.Object) {
		resources.GiveSettings(o.(*corev1.Pod), file)
		annotate(v1alpha1.AnnotationSettingsGiven, e.timestamp())(o)
	})
}

// reload makes a server read its settings, and looks whether it has: it may have been faster than the kubelet.
func (e *Executor) reload(ctx context.Context, s *observe.Snapshot, a plan.Reload) (Outcome, error) {
	agent := e.Dial(s.Target(a.Server))
	if err := agent.Reload(ctx); err != nil {
		return Outcome{}, fmt.Errorf("%s refuses to read spec.config again, and goes on with what it has: %w", a.Server, err)
	}
	self, err := agent.Self(ctx)
	if err != nil {
		return Outcome{}, err
	}
	if self.Settings != s.Spec.Settings {
		return Outcome{}, fmt.Errorf("%s: %w", a.Server, errNotWritten)
	}
	return Outcome{Event: a.Server + " has read spec.config again, without a restart"}, nil
}
