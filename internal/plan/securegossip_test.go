package plan_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// phase is a healthy cluster in a phase of gossip encryption, on the way to another one.
func phase(is, target plan.GossipPhase, changes ...func(o *plan.Observation)) func(o *plan.Observation) {
	return func(o *plan.Observation) {
		o.Spec.Gossip, o.Spec.Object = plan.Gossip{Phase: is, Target: target}, "consul -n default"
		for _, change := range changes {
			change(o)
		}
	}
}

func TestSecureGossip(t *testing.T) {
	const off, accepting, sending, required = plan.GossipOff, plan.GossipAccepting, plan.GossipSending, plan.GossipRequired
	clients := func(o *plan.Observation) { o.Raft.Gossip.ClientAgents = []string{"app-1", "app-2"} }
	keyless := func(o *plan.Observation) { o.Raft.Gossip.Keyless = "app-1 has no key" }
	unanswered := func(o *plan.Observation) { o.Raft.Gossip.Unanswered = "timed out" }
	ready := func(p plan.GossipPhase) func(o *plan.Observation) {
		return func(o *plan.Observation) { o.Spec.AgentsReady = p.String() }
	}
	to := func(p plan.GossipPhase) plan.Action { return plan.SetGossip{Phase: p} }
	founding := func(o *plan.Observation) {
		o.Spec.Bootstrapped, o.Raft, o.Servers, o.Spec.NextSerial = false, plan.Raft{}, nil, 0
	}
	testSteps(t, map[string]stepTest{
		"I5 it is as wanted":           {phase(required, required, clients), nil, reason.Healthy},
		"a new cluster has it at once": {phase(off, required, founding), to(required), reason.Bootstrapping},
		"a cluster of which a founder is there has it later": {
			phase(off, required, founding, func(o *plan.Observation) {
				o.Servers = []plan.Server{{Name: "consul-0", Revision: "r", BootstrapExpect: 3}}
			}), plan.CreateServer{BootstrapExpect: 3}, reason.Bootstrapping,
		},
		"I10 on, one phase at a time":  {phase(off, required), to(accepting), reason.SecuringGossip},
		"I10 on, the second phase":     {phase(accepting, required), to(sending), reason.SecuringGossip},
		"I10 on, the third phase":      {phase(sending, required), to(required), reason.SecuringGossip},
		"I10 off, one phase at a time": {phase(required, off), to(sending), reason.SecuringGossip},
		"I10 off, the second phase":    {phase(sending, off), to(accepting), reason.SecuringGossip},
		"I10 off, the third phase":     {phase(accepting, off), to(off), reason.SecuringGossip},
		"I10 a key that is unknown": {
			phase(off, required, func(o *plan.Observation) { o.Raft.Gossip.Encrypted = true }), nil, reason.InvalidSpec,
		},
		"nobody is locked out by the key":    {phase(off, required, clients), to(accepting), reason.SecuringGossip},
		"whoever has no key is locked out":   {phase(accepting, required, keyless), nil, reason.WaitingForAgents},
		"no person's word gives them one":    {phase(accepting, required, keyless, ready(sending)), nil, reason.WaitingForAgents},
		"it is not known who has it":         {phase(accepting, required, unanswered), nil, reason.WaitingForAgents},
		"agents that have the key may still": {phase(accepting, required, clients), nil, reason.WaitingForAgents},
		"a person says that they do not":     {phase(accepting, required, clients, ready(sending)), to(sending), reason.SecuringGossip},
		"agents may send in the clear":       {phase(sending, required, clients), nil, reason.WaitingForAgents},
		"a word for another phase is none":   {phase(sending, required, clients, ready(sending)), nil, reason.WaitingForAgents},
		"a person says that they do not any": {phase(sending, required, clients, ready(required)), to(required), reason.SecuringGossip},
		"off: everybody hears who sends":     {phase(required, off, clients), to(sending), reason.SecuringGossip},
		"off: agents may accept nothing else": {
			phase(sending, off, clients), nil, reason.WaitingForAgents,
		},
		"a new leader has to be stable": {
			phase(off, required, func(o *plan.Observation) { o.Raft.LeaderSince = noon }), nil, reason.LeaderNotStable,
		},
		"I10 a server is missing": {
			phase(accepting, required, func(o *plan.Observation) { o.Servers[2].Pod.Running = false }), nil, reason.WaitingForServer,
		},
		"I10 a server has an older revision": {
			phase(accepting, required, func(o *plan.Observation) { o.Servers[2].Revision = "old" }),
			plan.CreateServer{Serial: 3}, reason.CreatingServer,
		},
		"paused": {phase(off, required, func(o *plan.Observation) { o.Spec.Paused = true }), nil, reason.Paused},
	})
}

func TestTheRecordOfGossipIsWrittenAgain(t *testing.T) {
	g := NewWithT(t)
	o := healthy(phase(plan.GossipRequired, plan.GossipRequired, func(o *plan.Observation) { o.Spec.Gossip.Unrecorded = true }))
	g.Expect(plan.Plan(o, noon).Upkeep).To(ConsistOf(plan.SetGossip{Phase: plan.GossipRequired}))
}

// between is a cluster in which one server has the present phase, and the others have the former one.
func between(former, is, target plan.GossipPhase, changes ...func(o *plan.Observation)) func(o *plan.Observation) {
	return phase(is, target, append([]func(o *plan.Observation){func(o *plan.Observation) {
		outdated(o)
		for i := range o.Servers {
			o.Servers[i].Pod.Gossip = former
		}
		o.Servers[2].Pod.Gossip = is
	}}, changes...)...)
}

// outdated is a cluster in which one server has the wanted revision and does not start, and the others have an older one.
func outdated(o *plan.Observation) {
	for i := range o.Servers {
		o.Servers[i].Pod.Revision, o.Servers[i].Revision = "old", "old"
	}
	s := &o.Servers[2]
	s.Pod.Revision, s.Revision, s.Pod.Running = "r", "r", false
	s.Pod.Problem = plan.Problem{Reason: reason.ServerCannotStart, Message: "no shell"}
	s.Agent, s.Member, s.Peer = plan.Agent{}, plan.MemberAbsent, nil
}

func TestRevertGossip(t *testing.T) {
	const off, accepting, sending, required = plan.GossipOff, plan.GossipAccepting, plan.GossipSending, plan.GossipRequired
	back := func(p plan.GossipPhase) plan.Action { return plan.SetGossip{Phase: p} }
	goesOn := plan.CreateServer{Serial: 3}
	noLeader := func(o *plan.Observation) { o.Raft = plan.Raft{Unknown: "x"} }
	single := func(o *plan.Observation) {
		o.Spec.Replicas, o.Spec.InPlace, o.Servers = 1, true, o.Servers[2:]
		o.Raft = plan.Raft{Unknown: "x"}
	}
	testSteps(t, map[string]stepTest{
		"what does not start goes on":         {between(off, accepting, required), goesOn, reason.CreatingServer},
		"on, and off before all have the key": {between(off, accepting, off), back(off), reason.SecuringGossip},
		"nobody has to lead":                  {between(off, accepting, off, noLeader), back(off), reason.SecuringGossip},
		"off, and on before all send so":      {between(required, sending, required), back(required), reason.SecuringGossip},
		"I10 not to a phase that some do not hear": {
			between(sending, accepting, off), goesOn, reason.CreatingServer,
		},
		"I10 nor while a server has the revision of another phase and no pod": {
			between(off, accepting, off, func(o *plan.Observation) { o.Servers[1].Pod = nil }), goesOn, reason.CreatingServer,
		},
		"a single server in place: going on looks the same, and agents would not be waited for": {
			between(sending, accepting, off, single), nil, reason.ServerCannotStart,
		},
		"what cannot be recorded holds nothing up": {
			between(off, accepting, off, func(o *plan.Observation) {
				o.Failures = []plan.Failure{{
					Attempt: plan.AttemptOf(back(off)), Since: noon, Last: noon, Problem: plan.Problem{Reason: reason.AttemptFails},
				}}
			}), goesOn, reason.CreatingServer,
		},
		"paused": {between(off, accepting, off, func(o *plan.Observation) { o.Spec.Paused = true }), nil, reason.Paused},
	})
}
