package plan_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

func TestWhatBecomesOfTheNetworkPolicy(t *testing.T) {
	for name, one := range map[string]struct {
		network plan.Network
		wanted  plan.PolicyFate
	}{
		"a new cluster is closed":                  {plan.Network{New: true, SelfKnown: true}, plan.KeepPolicy},
		"a running cluster stays open":             {plan.Network{SelfKnown: true}, plan.LeavePolicy},
		"a closed one stays closed":                {plan.Network{Kept: true, SelfKnown: true}, plan.KeepPolicy},
		"a running cluster is closed on request":   {plan.Network{Asked: new(true), SelfKnown: true}, plan.KeepPolicy},
		"a closed one is opened on request":        {plan.Network{Asked: new(false), Kept: true, SelfKnown: true}, plan.DeletePolicy},
		"a new cluster is left open on request":    {plan.Network{Asked: new(false), New: true, SelfKnown: true}, plan.DeletePolicy},
		"an operator elsewhere closes no cluster":  {plan.Network{New: true}, plan.LeavePolicy},
		"nor does it lock another operator out":    {plan.Network{Kept: true}, plan.LeavePolicy},
		"unless it is asked to, and named by then": {plan.Network{Asked: new(true)}, plan.KeepPolicy},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(plan.Observation{Spec: plan.Spec{Network: one.network}}.NetworkPolicy()).To(Equal(one.wanted))
		})
	}
}

func TestWhatHoldsSteps(t *testing.T) {
	taken, denied := plan.Problem{Reason: reason.NameTaken}, plan.Problem{Reason: reason.AdmissionDenied}
	policy := func(p plan.Problem) plan.Failure { return plan.Failure{Attempt: plan.AttemptNetworkPolicy, Problem: p} }
	running := []plan.Server{{Name: "consul-0"}}
	for name, one := range map[string]struct {
		servers []plan.Server
		failure plan.Failure
		holds   bool
	}{
		"a name that is taken": {running, plan.Failure{Attempt: "Service consul", Problem: taken}, true},
		"a refusal":            {running, plan.Failure{Attempt: "Service consul", Problem: denied}, false},
		"no NetworkPolicy, before there are servers": {nil, policy(denied), true},
		"no NetworkPolicy, for servers that run":     {running, policy(denied), false},
		"nor one of somebody else's":                 {running, policy(taken), false},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(plan.Observation{Servers: one.servers}.HoldsSteps(one.failure)).To(Equal(one.holds))
		})
	}
}
