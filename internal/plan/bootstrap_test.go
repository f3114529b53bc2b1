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
