package plan_test

import (
	"testing"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// tokens is a healthy cluster whose servers deny, and in which the rotation of the ACL tokens is so far.
func tokens(stage plan.TokenStage, changes ...func(o *plan.Observation)) func(o *plan.Observation) {
	return acls(plan.ACLsDeny, plan.ACLsDeny, append([]func(o *plan.Observation){func(o *plan.Observation) {
		o.Spec.ACLs.Rotation = plan.TokenRotation{Stage: stage, ShownAt: noon.Add(-time.Minute), RevokedIn: o.Raft.Term}
		for i := range o.Servers {
			o.Servers[i].Pod.Created = noon.Add(-time.Hour)
		}
	}}, changes...)...)
}

func TestRotateTokens(t *testing.T) {
	const settled, coming, going, revoked = plan.TokensSettled, plan.TokensComing, plan.TokensGoing, plan.TokensRevoked
	asked := func(o *plan.Observation) { o.Spec.ACLs.Rotation.Replacement.Asked = true }
	unseen := func(o *plan.Observation) { o.Spec.ACLs.Rotation.ShownAt = noon.Add(time.Second) }
	uncopied := func(o *plan.Observation) { o.Spec.ACLs.Rotation.Uncopied = true }
	another := func(o *plan.Observation) { o.Raft.Term++ }
	unmade := func(o *plan.Observation) { o.Spec.ACLs.Made = false }
	off := func(o *plan.Observation) { o.Spec.ACLs.Phase, o.Spec.ACLs.Target = plan.ACLsOff, plan.ACLsOff }
	missing := func(o *plan.Observation) { o.Servers[2].Pod.Running = false }
	idle := func(o *plan.Observation) { o.Servers[1].Agent.Answered = false }
	newLeader := func(o *plan.Observation) { o.Raft.LeaderSince = noon }
	paused := func(o *plan.Observation) { o.Spec.Paused = true }
	have := func(servers ...int) func(o *plan.Observation) {
		return func(o *plan.Observation) {
			for _, i := range servers {
				o.Servers[i].Agent.UsesFormerToken = true
			}
		}
	}
	replaced := func(servers ...int) func(o *plan.Observation) {
		return func(o *plan.Observation) {
			for _, i := range servers {
				o.Servers[i].Pod.Created = noon.Add(-time.Second)
			}
		}
	}
	takes := func(s plan.TokenStep) plan.Action { return plan.RotateTokens{Step: s} }
	reads := func(server string) plan.Action { return plan.ReadTokens{Server: server} }
	const rotates = reason.RotatingTokens
	testSteps(t, map[string]stepTest{
		"I5 nobody asks for it":                      {tokens(settled), nil, reason.Healthy},
		"somebody asks for it":                       {tokens(settled, asked), takes(plan.GenerateTokens), rotates},
		"I5 there are no tokens":                     {tokens(settled, asked, off), nil, reason.Healthy},
		"I11 not before the present ones were made":  {tokens(coming, unmade), nil, reason.Healthy},
		"a second request waits for the first":       {tokens(coming, asked), takes(plan.PromoteTokens), rotates},
		"I11 pods may be shown the former ones":      {tokens(going, unseen, have(0, 1, 2)), nil, rotates},
		"servers read them, the leader last":         {tokens(going, have(0, 1, 2)), reads("consul-1"), rotates},
		"the next one":                               {tokens(going, have(0, 2)), reads("consul-2"), rotates},
		"the leader":                                 {tokens(going, have(0)), reads("consul-0"), rotates},
		"I11 a server is missing":                    {tokens(going, missing), nil, reason.WaitingForServer},
		"I11 a server does not answer":               {tokens(going, idle), nil, reason.WaitingForServer},
		"the former ones lose their rights":          {tokens(going), takes(plan.RevokeTokens), rotates},
		"I5 servers were started with them":          {tokens(revoked, replaced(0, 1)), nil, reason.Healthy},
		"no server was":                              {tokens(revoked, replaced(0, 1, 2)), takes(plan.ForgetTokens), rotates},
		"others are asked for before":                {tokens(revoked, asked), takes(plan.GenerateTokens), rotates},
		"the age does not ask again and again":       {tokens(going, asked), takes(plan.RevokeTokens), rotates},
		"I11 a server started late":                  {tokens(revoked, have(2)), reads("consul-2"), rotates},
		"another leader may have made it again":      {tokens(revoked, replaced(0, 1), another), takes(plan.RevokeTokens), rotates},
		"I11 both Secrets would not know the next":   {tokens(coming, uncopied), nil, rotates},
		"I11 people would not know the present one":  {tokens(going, uncopied), nil, rotates},
		"a Secret that lags is no rotation":          {tokens(settled, uncopied), nil, reason.Healthy},
		"a new leader has to be stable":              {tokens(going, newLeader), nil, reason.LeaderNotStable},
		"paused":                                     {tokens(going, paused), nil, reason.Paused},
		"a leader that refuses the operator's token": {tokens(going, tokenRefused), nil, reason.MakingTokens},
	})
}
