package execute

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

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

// reload makes a server read its settings, and looks whether it has.
func (e *Executor) reload(ctx context.Context, s *observe.Snapshot, a plan.Reload) (Outcome, error) {
	self, err := e.readAgain(ctx, s, a.Server, "spec.config")
	if err != nil {
		return Outcome{}, err
	}
	if self.Settings != s.Spec.Settings {
		return Outcome{}, notWritten(a.Server, "its settings")
	}
	return Outcome{Event: a.Server + " has read spec.config again, without a restart"}, nil
}

// readAgain makes a server read its files again, and returns what it says of itself then.
func (e *Executor) readAgain(ctx context.Context, s *observe.Snapshot, server, what string) (consul.Self, error) {
	agent := e.Dial(s.Target(server))
	if err := agent.Reload(ctx); err != nil {
		return consul.Self{}, fmt.Errorf("%s refuses to read %s again, and goes on with what it has: %w", server, what, err)
	}
	return agent.Self(ctx)
}

// notWritten means that a server has read its files again before the kubelet wrote one of them.
func notWritten(server, what string) error {
	return fmt.Errorf("%s: the kubelet has not written %s yet", server, what)
}
