package plan_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// A cluster that the operator never reached may have served for long (M1): a server that runs is not stopped for a corrected
// spec unless it says that it knows no leader.
func TestWhatMayServeIsNotReplaced(t *testing.T) {
	for what, test := range map[string]struct {
		agent    plan.Agent
		reason   reason.Reason
		replaced bool
	}{
		"it knows no leader":  {plan.Agent{Answered: true}, reason.ReplacingIdleServer, true},
		"it knows a leader":   {plan.Agent{Answered: true, KnowsLeader: true}, reason.WaitingForServer, false},
		"ACLs":                {plan.Agent{Silence: plan.SilenceForbidden}, reason.ConsulRefuses, false},
		"a NetworkPolicy":     {plan.Agent{Silence: plan.SilenceNoRoute}, reason.ConsulUnreachable, false},
		"it starts":           {plan.Agent{Silence: plan.SilenceRefused}, reason.WaitingForServer, false},
		"it has just started": {plan.Agent{}, reason.WaitingForServer, false},
	} {
		t.Run(what, func(t *testing.T) {
			g := NewWithT(t)
			d := plan.Plan(healthy(func(o *plan.Observation) {
				o.Spec.Bootstrapped, o.Spec.Revision, o.Raft = false, "new", plan.Raft{}
				for i := range o.Servers {
					o.Servers[i].Agent, o.Servers[i].Peer, o.Servers[i].Member = test.agent, nil, plan.MemberAbsent
				}
			}), noon)
			g.Expect(d.Reason).To(Equal(test.reason), d.Message)
			if test.replaced {
				g.Expect(d.Step).To(Equal(plan.DeletePod{Server: "consul-0"}))
				return
			}
			g.Expect(d.Step).To(BeNil())
			g.Expect(d.Message).To(ContainSubstring("delete its pod"))
		})
	}
}

// A storage class that does not exist is corrected before the first leader: claims that wait
// for it are released, and those that have a volume are left alone.
func TestFoundersThatWaitForTheWrongVolume(t *testing.T) {
	founders := func(change func(*plan.Server)) plan.Decision {
		return plan.Plan(healthy(func(o *plan.Observation) {
			o.Spec.Bootstrapped, o.Raft = false, plan.Raft{}
			for i := range o.Servers {
				s := &o.Servers[i]
				s.BootstrapExpect, s.Agent, s.Peer, s.Member = 3, plan.Agent{}, nil, plan.MemberAbsent
				s.Pod.Running, s.Pod.Ready, s.Pod.Serving = false, false, false
				s.WrongVolume, s.Unbound = true, true
				change(s)
			}
		}), noon)
	}
	g := NewWithT(t)
	g.Expect(founders(func(*plan.Server) {}).Step).To(Equal(plan.DeletePod{Server: "consul-0"}))
	g.Expect(founders(func(s *plan.Server) { s.Pod.Terminating = true }).Step).To(BeNil())
	g.Expect(founders(func(s *plan.Server) { s.Pod = nil }).Step).To(Equal(plan.ReleaseClaim{Server: "consul-0"}))
	for what, change := range map[string]func(*plan.Server){
		"it has a volume":      func(s *plan.Server) { s.Unbound = false },
		"it has the right one": func(s *plan.Server) { s.WrongVolume = false },
	} {
		d := founders(change)
		g.Expect(d.Step).To(BeNil(), "%s: %s", what, d.Message)
	}
}

// A class that is corrected while new servers wait for volumes of the former one: they go, and make room in the surge (I7).
func TestServersThatWaitForTheWrongVolume(t *testing.T) {
	waiting := func(o *plan.Observation, change func(*plan.Server)) {
		o.Spec.Replicas, o.Raft.MinQuorum = 5, 5
		for i := range o.Servers {
			o.Servers[i].WrongVolume = true
		}
		for _, name := range []string{"consul-3", "consul-4"} {
			s := plan.Server{
				Name: name, ID: name, Revision: "r", Member: plan.MemberAbsent, WrongVolume: true, Unbound: true,
				Pod: &plan.Pod{Revision: "r"},
			}
			change(&s)
			o.Servers = append(o.Servers, s)
		}
	}
	for what, test := range map[string]struct {
		change func(*plan.Server)
		step   plan.Action
		upkeep []plan.Action
	}{
		"the pod goes": {func(*plan.Server) {}, plan.DeletePod{Server: "consul-3"}, nil},
		"then the claim": {
			func(s *plan.Server) { s.Pod = nil }, plan.ReleaseClaim{Server: "consul-3"}, nil,
		},
		"one that has a volume stays": {
			func(s *plan.Server) { s.Unbound = false }, plan.CreateServer{Serial: 3}, nil,
		},
	} {
		t.Run(what, func(t *testing.T) {
			g := NewWithT(t)
			d := plan.Plan(healthy(func(o *plan.Observation) { waiting(o, test.change) }), noon)
			g.Expect(d.Step).To(Equal(test.step), d.Message)
			g.Expect(d.Upkeep).To(Equal(test.upkeep), "no pod is created for a claim that is to go")
		})
	}
}
