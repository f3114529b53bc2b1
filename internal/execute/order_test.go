package execute_test

import (
	"context"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/execute"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// An operator that acts on an old picture would create a server by a serial that somebody else has used meanwhile.
func TestASerialIsWrittenDownFirst(t *testing.T) {
	w := newWorld(t)
	w.touch(t, w.seen.Cluster)
	_, err := w.executor.Do(t.Context(), w.seen, plan.CreateServer{Serial: 2})
	w.Expect(err).To(MatchError(execute.ErrStale))
	err = w.client.Get(t.Context(), key("consul-2"), &corev1.PersistentVolumeClaim{})
	w.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "no server is created")
}

// A founder's pod that is made anew, on a disk that may be new, must not found another cluster.
func TestFoundersExpectNobodyLater(t *testing.T) {
	for _, bootstrapped := range []bool{false, true} {
		w := newWorld(t)
		w.seen.Spec.Bootstrapped = bootstrapped
		args := strings.Join(w.created(t, plan.CreatePod{Server: "consul-1"}).Spec.Containers[0].Args, " ")
		w.Expect(strings.Contains(args, "-bootstrap-expect=3")).To(Equal(!bootstrapped), args)
	}
}

func TestANewPodIsKeptFromNodes(t *testing.T) {
	w := newWorld(t)
	pod := w.created(t, plan.CreatePod{Server: "consul-1", Avoid: []string{"node-1"}})
	w.Expect(resources.Avoids(pod)).To(Equal([]string{"node-1"}))
}

// prepareFounder lets a founder's pod be missing, and returns the revision that is to be made of it.
func (w *world) prepareFounder(t *testing.T, server string) *corev1.Secret {
	t.Helper()
	revision, err := resources.RevisionSecret(w.seen.Cluster)
	w.Expect(err).NotTo(HaveOccurred())
	w.write(t, revision)
	w.seen.Claims[server].Annotations = map[string]string{
		v1alpha1.AnnotationRevision: resources.Revision(w.seen.Cluster), v1alpha1.AnnotationBootstrapExpect: "3",
	}
	w.Expect(w.client.Delete(t.Context(), w.seen.Pods[server])).To(Succeed())
	return revision
}

// write writes a revision down, as the operator does.
func (w *world) write(t *testing.T, revision *corev1.Secret) {
	t.Helper()
	w.Expect(w.client.Create(t.Context(), revision)).To(Succeed())
	w.seen.Spec.Revision = resources.Revision(w.seen.Cluster)
	w.seen.Revisions = append(w.seen.Revisions, v1alpha1.RevisionStatus{
		Name: w.seen.Spec.Revision, Digest: resources.Digest(revision),
	})
}

// created is a founder's pod after it has been made anew.
func (w *world) created(t *testing.T, action plan.CreatePod) *corev1.Pod {
	t.Helper()
	w.prepareFounder(t, action.Server)
	_, err := w.executor.Do(t.Context(), w.seen, action)
	w.Expect(err).NotTo(HaveOccurred())
	pod := &corev1.Pod{}
	w.Expect(w.client.Get(t.Context(), key(action.Server), pod)).To(Succeed())
	return pod
}

// follower is a server that never leads, or has led all the time.
type follower struct {
	consul.Agent
	self consul.Self
}

func (f follower) TransferLeadership(context.Context, string) error { return nil }
func (f follower) Self(context.Context) (consul.Self, error)        { return f.self, nil }

// Consul reports success when the old leader has stepped down, whoever leads then.
func TestATransferIsOverWhenTheTargetLeads(t *testing.T) {
	for what, test := range map[string]struct {
		self consul.Self
		over bool
	}{
		"it leads in a new term":        {consul.Self{Leads: true, Term: 8}, true},
		"it follows in a new term":      {consul.Self{Term: 8}, false},
		"it had led in the term before": {consul.Self{Leads: true, Term: 7}, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.seen.Raft.Term = 7
			w.executor.Dial = func(consul.Target) consul.Agent { return follower{self: test.self} }
			outcome, err := w.executor.Do(t.Context(), w.seen, plan.TransferLeadership{From: "consul-0", To: "consul-1"})
			if test.over {
				w.Expect(err).NotTo(HaveOccurred())
				w.Expect(outcome.Handoff).NotTo(BeNil())
				return
			}
			w.Expect(err).To(MatchError(execute.ErrStale))
		})
	}
}

// Forwarding through followers has a known bug. A server that leaves is asked itself.
func TestTheLeadersOwnAgentIsAsked(t *testing.T) {
	for _, test := range []struct {
		action plan.Action
		asked  string
	}{
		{plan.TransferLeadership{From: "consul-0", To: "consul-1"}, "127.0.0.10:8500"},
		{plan.ForceLeave{Node: "gone"}, "127.0.0.10:8500"},
		{plan.RemovePeer{ID: "gone"}, "127.0.0.10:8500"},
		{plan.Deregister{Node: "consul-1", ID: "former"}, "127.0.0.10:8500"},
		{plan.Leave{Server: "consul-1"}, "127.0.0.11:8500"},
	} {
		w := newWorld(t)
		w.seen.Pods["consul-0"].Status.PodIP, w.seen.Pods["consul-1"].Status.PodIP = "127.0.0.10", "127.0.0.11"
		var asked []string
		w.executor.Dial = func(to consul.Target) consul.Agent {
			return &asking{agents: w.agents, address: to.Address, asked: &asked}
		}
		_, err := w.executor.Do(t.Context(), w.seen, test.action)
		w.Expect(err).To(HaveOccurred(), "%T", test.action)
		w.Expect(asked).To(Equal([]string{test.asked}), "%T", test.action)
	}
}

// asking notes at which address it was told something.
type asking struct {
	*agents
	address string
	asked   *[]string
}

func (a *asking) note(err error) error {
	*a.asked = append(*a.asked, a.address)
	return err
}

func (a *asking) Leave(ctx context.Context) error { return a.note(a.agents.Leave(ctx)) }
func (a *asking) ForceLeave(ctx context.Context, n string) error {
	return a.note(a.agents.ForceLeave(ctx, n))
}
func (a *asking) RemovePeer(ctx context.Context, id string) error {
	return a.note(a.agents.RemovePeer(ctx, id))
}
func (a *asking) Deregister(ctx context.Context, node string) error {
	return a.note(a.agents.Deregister(ctx, node))
}
func (a *asking) TransferLeadership(ctx context.Context, id string) error {
	return a.note(a.agents.TransferLeadership(ctx, id))
}
