package controllers

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/status"
)

// A cluster with nothing to do is followed, also where something lies ahead of it; any other one is polled.
func TestWhatIsFollowed(t *testing.T) {
	for name, test := range map[string]struct {
		decision plan.Decision
		followed bool
	}{
		"nothing to do":      {plan.Decision{Done: true}, true},
		"something in a day": {plan.Decision{Done: true, RequeueAfter: 24 * time.Hour}, true},
		"upkeep that is to go on": {
			plan.Decision{Done: true, RequeueAfter: time.Second, Upkeep: []plan.Action{plan.CreatePod{}}}, false,
		},
		"it waits for what happens": {plan.Decision{RequeueAfter: time.Second}, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			followed := make(chan struct{}, 10)
			dial := func(consul.Target) consul.Agent {
				followed <- struct{}{}
				return silent{}
			}
			watcher := consul.NewWatcher(dial, func(types.NamespacedName) {}, logr.Discard())
			pod := &corev1.Pod{Status: corev1.PodStatus{PodIP: "10.0.0.1"}}
			s := &observe.Snapshot{Pods: map[string]*corev1.Pod{"consul-0": pod}}
			s.Servers, s.Raft.Leader = []plan.Server{{Name: "consul-0"}}, "consul-0"

			result, err := (&ConsulClusterReconciler{Watcher: watcher}).next(
				t.Context(), ctrl.Request{}, s, test.decision, status.Outcome{}, nil)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(result.RequeueAfter).To(Equal(test.decision.RequeueAfter))
			if test.followed {
				g.Eventually(followed).Should(Receive())
			}
			watcher.Close()
			g.Expect(len(followed) == 0 || test.followed).To(BeTrue())
		})
	}
}

// silent is an agent that answers nothing until it is no longer asked.
type silent struct{ consul.Agent }

func (silent) WatchLeader(ctx context.Context) func(func()) error {
	return func(func()) error {
		<-ctx.Done()
		return ctx.Err()
	}
}

func (silent) WatchServers(ctx context.Context, _ uint64, _ time.Duration) func() (uint64, error) {
	return func() (uint64, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
}
