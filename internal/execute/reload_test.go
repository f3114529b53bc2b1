package execute_test

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// reader is an agent that has read some settings, and may refuse to read others.
type reader struct {
	consul.Agent
	settings string
	refuses  error
	reloads  *int
}

func (r reader) Reload(context.Context) error { *r.reloads++; return r.refuses }
func (r reader) Self(context.Context) (consul.Self, error) {
	return consul.Self{Settings: r.settings}, nil
}

func TestASettingIsGivenToThePod(t *testing.T) {
	w := newWorld(t)
	w.executor.Now = func() time.Time { return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC) }
	w.seen.Cluster.Spec.Config = &v1alpha1.Config{Raw: []byte(`{"log_level": "DEBUG"}`)}
	_, err := w.executor.Do(t.Context(), w.seen, plan.GiveSettings{Server: "consul-0"})
	w.Expect(err).NotTo(HaveOccurred())
	w.look(t)
	w.Expect(w.seen.Pods["consul-0"].Annotations).To(And(
		HaveKeyWithValue(v1alpha1.AnnotationSettings, And(
			ContainSubstring(`"log_level":"DEBUG"`), ContainSubstring("operator-settings"))),
		HaveKeyWithValue(v1alpha1.AnnotationSettingsGiven, "2026-01-01T12:00:00Z")))
	w.Expect(w.seen.Pods["consul-1"].Annotations).NotTo(HaveKey(v1alpha1.AnnotationSettings))
}

// A pod that comes back while the spec is not to be followed reads what the others have.
func TestSettingsOfANewPod(t *testing.T) {
	for name, test := range map[string]struct {
		config string
		change func(*observe.Snapshot)
		given  string
	}{
		"as a rule":       {`{"log_level": "DEBUG"}`, func(*observe.Snapshot) {}, `{"log_level":"DEBUG",`},
		"of no settings":  {`{}`, func(*observe.Snapshot) {}, "{}"},
		"while paused":    {`{"log_level": "DEBUG"}`, func(s *observe.Snapshot) { s.Spec.Paused = true }, "of another"},
		"of a wrong spec": {`{"node_meta": 3}`, func(s *observe.Snapshot) { s.Spec.Invalid = &plan.Problem{} }, "of another"},
		"nobody to ask":   {`{"node_meta": 3}`, func(s *observe.Snapshot) { delete(s.Pods, "consul-0") }, "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.seen.Cluster.Spec.Config = &v1alpha1.Config{Raw: []byte(test.config)}
			w.seen.Pods["consul-0"].Annotations = map[string]string{v1alpha1.AnnotationSettings: "of another"}
			test.change(w.seen)
			pod := w.created(t, plan.CreatePod{Server: "consul-1"})
			w.Expect(pod.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationSettings, HavePrefix(test.given)))
		})
	}
}

func TestReload(t *testing.T) {
	for name, test := range map[string]struct {
		agent  reader
		failed string
	}{
		"it has read them":               {reader{settings: "new"}, ""},
		"it was faster than the kubelet": {reader{settings: "old"}, "consul-0: the kubelet has not written its settings yet"},
		"Consul refuses": {
			reader{settings: "old", refuses: consul.ErrForbidden}, "consul-0 refuses to read spec.config again",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			reloads := 0
			test.agent.reloads = &reloads
			w.executor.Dial = func(consul.Target) consul.Agent { return test.agent }
			w.seen.Spec.Settings = "new"
			outcome, err := w.executor.Do(t.Context(), w.seen, plan.Reload{Server: "consul-0"})
			w.Expect(reloads).To(Equal(1))
			if test.failed != "" {
				w.Expect(err).To(MatchError(ContainSubstring(test.failed)))
				return
			}
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(outcome.Event).To(Equal("consul-0 has read spec.config again, without a restart"))
		})
	}
}
