package observe_test

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func (w *world) inPhase(phase v1alpha1.GossipPhase) {
	w.cluster.Annotations[v1alpha1.AnnotationGossip] = string(phase)
	w.cluster.Annotations[v1alpha1.AnnotationRecordsOf] = string(clusterUID)
}

func TestWhereGossipEncryptionLeads(t *testing.T) {
	for name, test := range map[string]struct {
		phase   v1alpha1.GossipPhase
		enabled *bool
		wanted  plan.Gossip
	}{
		"a cluster that says nothing has none": {"", nil, plan.Gossip{}},
		"nor does it lose what it has": {
			v1alpha1.GossipSending, nil, plan.Gossip{Phase: plan.GossipSending, Target: plan.GossipSending},
		},
		"on":  {v1alpha1.GossipAccepting, new(true), plan.Gossip{Phase: plan.GossipAccepting, Target: plan.GossipRequired}},
		"off": {v1alpha1.GossipAccepting, new(false), plan.Gossip{Phase: plan.GossipAccepting}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if test.phase != "" {
				w.inPhase(test.phase)
			}
			w.cluster.Spec.GossipEncryption.Enabled = test.enabled
			w.Expect(w.look().Spec.Gossip).To(Equal(test.wanted))
		})
	}
}

// Who could be cut off is asked for while a phase lies ahead, and the keys only before servers get one and once all have it.
func TestWhomAPhaseCouldCutOff(t *testing.T) {
	shared := consul.Keyring{Members: 4, Keys: map[string]int{"a": 4}, Primary: map[string]int{"a": 4}}
	several := consul.Keyring{Members: 4, Keys: map[string]int{"a": 2, "b": 2}, Primary: map[string]int{"a": 2, "b": 2}}
	clients := []string{"app-1"}
	for name, test := range map[string]struct {
		phase   v1alpha1.GossipPhase
		enabled bool
		change  func(leader *agent)
		seen    plan.GossipMembers
	}{
		"nothing lies ahead": {v1alpha1.GossipRequired, true, func(a *agent) { a.silent["clients"] = true }, plan.GossipMembers{}},
		"there is no key yet": {
			"Off", true, func(a *agent) { a.keyless = consul.ErrNoKey }, plan.GossipMembers{ClientAgents: clients},
		},
		"I10 there is a key already": {
			"Off", true, func(a *agent) { a.keyring = shared }, plan.GossipMembers{ClientAgents: clients, Encrypted: true},
		},
		"the key is not asked for": {
			v1alpha1.GossipSending, true, func(a *agent) { a.silent["keyring"] = true }, plan.GossipMembers{ClientAgents: clients},
		},
		"all have the key": {
			v1alpha1.GossipAccepting, true, func(a *agent) { a.keyring = shared }, plan.GossipMembers{ClientAgents: clients},
		},
		"one has none": {
			v1alpha1.GossipAccepting, true,
			func(a *agent) {
				a.keyless = fmt.Errorf("%w: dc1 (LAN) error: 1/4 nodes reported failure", consul.ErrNoKey)
			},
			plan.GossipMembers{ClientAgents: clients, Keyless: "1/4 nodes without it"},
		},
		"they have several": {
			v1alpha1.GossipAccepting, true, func(a *agent) { a.keyring = several },
			plan.GossipMembers{ClientAgents: clients, Keyless: "the 4 members do not share one"},
		},
		"the leader does not tell the keys": {
			v1alpha1.GossipAccepting, true, func(a *agent) { a.silent["keyring"] = true },
			plan.GossipMembers{ClientAgents: clients, Unanswered: errSay.Error()},
		},
		"the leader does not tell the clients": {
			v1alpha1.GossipSending, false, func(a *agent) { a.silent["clients"] = true },
			plan.GossipMembers{Unanswered: errSay.Error()},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.inPhase(test.phase)
			w.cluster.Spec.GossipEncryption.Enabled = &test.enabled
			w.serve()
			test.change(w.agent(0))
			s := w.look()
			w.Expect(s.Raft.Known).To(BeTrue(), "an answer that is missing costs nothing else")
			w.Expect(s.Raft.Gossip).To(Equal(test.seen))
		})
	}
}

// serve makes all servers serve with the wanted revision.
func (w *world) serve() {
	for _, pod := range w.pods {
		pod.Labels[v1alpha1.LabelRevision] = resources.Revision(w.cluster)
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
}

// Each member that has no key logs the question, so it is asked when the servers have theirs.
func TestWhenTheKeysAreAskedFor(t *testing.T) {
	w := newWorld(t)
	w.inPhase(v1alpha1.GossipAccepting)
	w.cluster.Spec.GossipEncryption.Enabled = new(true)
	w.serve()
	w.pods[1].Labels[v1alpha1.LabelRevision] = "older"
	w.agent(0).silent["keyring"] = true
	w.Expect(w.look().Raft.Gossip).To(Equal(plan.GossipMembers{ClientAgents: []string{"app-1"}}))
}
