package plan_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// acls is a healthy cluster in a phase of ACLs, on the way to another one. Its tokens are made.
func acls(is, target plan.ACLPhase, changes ...func(o *plan.Observation)) func(o *plan.Observation) {
	return func(o *plan.Observation) {
		o.Spec.ACLs = plan.ACLs{Phase: is, Target: target, Made: is != plan.ACLsOff}
		for i := range o.Servers {
			o.Servers[i].Pod.ACLs = is
		}
		for _, change := range changes {
			change(o)
		}
	}
}

// tokenRefused is what is seen of a cluster whose leader refuses the operator's token.
func tokenRefused(o *plan.Observation) {
	o.Spec.ACLs.RefusedBy, o.Raft = "consul-0", plan.Raft{Unknown: "ACL not found"}
	for i := range o.Servers {
		o.Servers[i].Peer, o.Servers[i].Member, o.Servers[i].Health = nil, plan.MemberAbsent, ""
	}
}

func TestSecureACLs(t *testing.T) {
	const off, allow, deny = plan.ACLsOff, plan.ACLsAllow, plan.ACLsDeny
	unmade := func(o *plan.Observation) { o.Spec.ACLs.Made = false }
	to := func(p plan.ACLPhase) plan.Action { return plan.SetACLs{Phase: p} }
	testSteps(t, map[string]stepTest{
		"I5 it is as wanted":            {acls(deny, deny), nil, reason.Healthy},
		"I5 a person has not said deny": {acls(allow, allow), nil, reason.Healthy},
		"on, one phase at a time":       {acls(off, deny), to(allow), reason.SecuringACLs},
		"on, the last phase":            {acls(allow, deny), to(deny), reason.SecuringACLs},
		"nobody denies without a token": {acls(allow, deny, unmade), nil, reason.MakingTokens},
		"off, one phase at a time":      {acls(deny, off), to(allow), reason.SecuringACLs},
		"off, the last phase":           {acls(allow, off, unmade), to(off), reason.SecuringACLs},
		"a new leader has to be stable": {
			acls(off, deny, func(o *plan.Observation) { o.Raft.LeaderSince = noon }), nil, reason.LeaderNotStable,
		},
		"paused":                         {acls(off, deny, func(o *plan.Observation) { o.Spec.Paused = true }), nil, reason.Paused},
		"a token before all else":        {acls(deny, deny, tokenRefused), nil, reason.MakingTokens},
		"a token, and no server revised": {acls(deny, deny, outdated, tokenRefused), nil, reason.MakingTokens},
		"a token, and no quorum recovered": {
			acls(deny, deny, tokenRefused, func(o *plan.Observation) { o.Spec.AcceptedLoss = []string{"consul-1", "consul-2"} }),
			nil, reason.MakingTokens,
		},
		"nobody can be asked: the Secret with the tokens is missing": {
			acls(deny, deny, outdated, func(o *plan.Observation) { o.Spec.ACLs.Missing, o.Raft = true, plan.Raft{Unknown: "403"} }),
			nil, reason.MakingTokens,
		},
		"TLS before tokens travel": {
			acls(off, deny, func(o *plan.Observation) { o.Spec.TLS.Target = plan.TLSRequired }),
			plan.SetTLS{Phase: plan.TLSAccepting}, reason.SecuringTLS,
		},
		"a server has an older revision": {
			acls(allow, deny, func(o *plan.Observation) { o.Servers[2].Revision = "old" }),
			plan.CreateServer{Serial: 3}, reason.CreatingServer,
		},
	})
}

func TestRevertACLs(t *testing.T) {
	const off, allow, deny = plan.ACLsOff, plan.ACLsAllow, plan.ACLsDeny
	back := func(p plan.ACLPhase) plan.Action { return plan.SetACLs{Phase: p} }
	goesOn := plan.CreateServer{Serial: 3}
	between := func(former, is, target plan.ACLPhase) func(o *plan.Observation) {
		return acls(is, target, func(o *plan.Observation) {
			outdated(o)
			for i := range o.Servers {
				o.Servers[i].Pod.ACLs = former
			}
			o.Servers[2].Pod.ACLs = is
		})
	}
	testSteps(t, map[string]stepTest{
		"what does not start goes on":     {between(off, allow, deny), goesOn, reason.CreatingServer},
		"on, and off before all have one": {between(off, allow, off), back(off), reason.SecuringACLs},
		"deny, and back before all do":    {between(allow, deny, allow), back(allow), reason.SecuringACLs},
	})
}

func TestTokensAreMade(t *testing.T) {
	const off, allow, deny = plan.ACLsOff, plan.ACLsAllow, plan.ACLsDeny
	unmade := func(o *plan.Observation) { o.Spec.ACLs.Made = false }
	leaderless := func(o *plan.Observation) { o.Raft = plan.Raft{Unknown: "x"} }
	paused := func(o *plan.Observation) { o.Spec.Paused = true }
	former := func(o *plan.Observation) { o.Servers[0].Pod.ACLs = off }
	unrecorded := func(o *plan.Observation) { o.Spec.ACLs.Unrecorded = true }
	made := plan.MakeTokens{Leader: "consul-0"}
	for name, test := range map[string]struct {
		change func(o *plan.Observation)
		upkeep []any
	}{
		"I5 they are":                        {acls(deny, deny), nil},
		"without ACLs":                       {acls(off, off), nil},
		"the leader refuses the present one": {acls(deny, deny, tokenRefused), []any{made}},
		"none was made yet":                  {acls(allow, allow, unmade), []any{made}},
		"while the cluster is paused":        {acls(allow, allow, unmade, paused), []any{made}},
		"nobody leads":                       {acls(allow, allow, unmade, leaderless), nil},
		"the leader has no ACLs yet":         {acls(allow, allow, unmade, former), nil},
		"the record of the phase is lost":    {acls(deny, deny, unrecorded), []any{plan.SetACLs{Phase: deny}}},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(plan.Plan(healthy(test.change), noon).Upkeep).To(ConsistOf(test.upkeep...))
		})
	}
}

// A leader that refuses the operator leads: a server that has left is not started again as one whose vote is missing.
func TestNobodyStartsWhileTokensAreMade(t *testing.T) {
	g := NewWithT(t)
	left := func(o *plan.Observation) { o.Servers[2].Retiring, o.Servers[2].Pod = true, nil }
	g.Expect(plan.Plan(healthy(acls(plan.ACLsDeny, plan.ACLsDeny, left, tokenRefused)), noon).Upkeep).
		To(ConsistOf(plan.MakeTokens{Leader: "consul-0"}))
	missing := func(o *plan.Observation) { o.Spec.ACLs.Missing, o.Raft = true, plan.Raft{Unknown: "403"} }
	g.Expect(plan.Plan(healthy(acls(plan.ACLsDeny, plan.ACLsDeny, left, missing)), noon).Upkeep).To(BeEmpty())
	gone := func(o *plan.Observation) { o.Servers[2].Pod = nil }
	g.Expect(plan.Plan(healthy(acls(plan.ACLsDeny, plan.ACLsDeny, gone, missing)), noon).Upkeep).
		To(BeEmpty(), "it would start with what somebody else may put there")
}

func TestNamesOfACLPhases(t *testing.T) {
	g := NewWithT(t)
	for _, phase := range []plan.ACLPhase{plan.ACLsOff, plan.ACLsAllow, plan.ACLsDeny} {
		g.Expect(plan.ParseACLPhase(phase.String())).To(Equal(phase))
	}
	g.Expect(plan.ParseACLPhase("")).To(Equal(plan.ACLsOff))
	_, err := plan.ParseACLPhase("Perhaps")
	g.Expect(err).To(MatchError(`"Perhaps" is none of Off, Allow, Deny`))
}

// Those who have no token may look up services and nodes as soon as the leader can grant it, and no longer than it is asked for.
func TestGrantDNS(t *testing.T) {
	wants := func(o *plan.Observation) { o.Spec.ACLs.DNS = true }
	has := func(o *plan.Observation) { o.Spec.ACLs.DNSGranted = true }
	paused := func(o *plan.Observation) { o.Spec.Paused = true }
	granted := []plan.Action{plan.GrantDNS{Granted: true}}
	for name, test := range map[string]struct {
		change func(o *plan.Observation)
		grants []plan.Action
	}{
		"granted":                            {acls(plan.ACLsDeny, plan.ACLsDeny, wants), granted},
		"taken":                              {acls(plan.ACLsDeny, plan.ACLsDeny, has), []plan.Action{plan.GrantDNS{}}},
		"I5 it is as wanted":                 {acls(plan.ACLsDeny, plan.ACLsDeny, wants, has), nil},
		"nobody asks for it":                 {acls(plan.ACLsDeny, plan.ACLsDeny), nil},
		"there are no ACLs":                  {acls(plan.ACLsOff, plan.ACLsOff, wants), nil},
		"where all are allowed, too":         {acls(plan.ACLsAllow, plan.ACLsAllow, wants), granted},
		"a paused cluster stays as it is":    {acls(plan.ACLsDeny, plan.ACLsDeny, wants, paused), nil},
		"a leader that refuses the operator": {acls(plan.ACLsDeny, plan.ACLsDeny, wants, tokenRefused), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var grants []plan.Action
			for _, action := range plan.Plan(healthy(test.change), noon).Upkeep {
				if _, is := action.(plan.GrantDNS); is {
					grants = append(grants, action)
				}
			}
			NewWithT(t).Expect(grants).To(Equal(test.grants))
		})
	}
}
