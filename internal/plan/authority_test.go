package plan_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

func TestTheAuthority(t *testing.T) {
	const year = 365 * day
	rotate := func(step plan.AuthorityStep, because string) []plan.Action {
		return []plan.Action{plan.RotateAuthority{Step: step, Because: because}}
	}
	introduce := func(because string) []plan.Action { return rotate(plan.IntroduceAuthority, because) }
	promote := rotate(plan.PromoteAuthority, "servers believe it, and clients have had the time to")
	forget := rotate(plan.ForgetAuthority, "every server has a certificate of the other one")
	issue := func(because string) []plan.Action { return []plan.Action{plan.IssueCertificate{Because: because}} }
	settled := func(left time.Duration, asked bool) plan.Authority {
		return plan.Authority{
			Stage: plan.AuthoritySettled, From: noon.Add(left - 5*year), Until: noon.Add(left),
			Replacement: plan.Replacement{Asked: asked},
		}
	}
	brought := func(differs bool) plan.Authority {
		a := settled(year, true)
		a.Replacement.FromSecret, a.Replacement.Differs = "mine", differs
		return a
	}
	coming := plan.Authority{
		Stage: plan.AuthorityComing, Introduced: true, KnownAt: noon, From: noon.Add(-4 * year), Until: noon.Add(year),
	}
	tooEarly, tooLate, taken := coming, coming, coming
	taken.Replacement = plan.Replacement{FromSecret: "mine", Differs: true}
	tooEarly.KnownAt, tooLate.KnownAt = noon.Add(time.Second), noon.Add(year)
	tooLate.From, tooLate.Until = noon.Add(90*day-5*year), noon.Add(90*day)
	withdrawn := settled(2*year, false)
	withdrawn.Replacement.Withdrawn = true
	going := plan.Authority{Stage: plan.AuthorityGoing}
	agents := func(ready string) func(o *plan.Observation) {
		return func(o *plan.Observation) {
			o.Raft.Gossip.ClientAgents, o.Spec.AgentsReady = []string{"app-1"}, ready
		}
	}
	for name, test := range map[string]struct {
		authority plan.Authority
		change    func(o *plan.Observation)
		upkeep    []plan.Action
	}{
		"I5 it is young":      {settled(2*year, false), nil, nil},
		"a fifth of its life": {settled(year, false), nil, introduce("the present one ends at 2027-01-01T12:00:00Z")},
		"it is asked for":     {settled(5*year, true), nil, introduce("on request")},
		"it is asked for while a snapshot is restored": {
			settled(5*year, true), func(o *plan.Observation) { o.Spec.Restore = &plan.Restore{Recorded: true} }, nil,
		},
		"a user provides it":          {brought(false), nil, nil},
		"a user provides another one": {brought(true), nil, introduce("the Secret mine holds another value")},
		"a user takes one back":       {taken, nil, introduce("the Secret mine holds another value")},
		"before there is a cluster": {
			settled(5*year, true), func(o *plan.Observation) { o.Spec.Bootstrapped = false }, nil,
		},
		"nobody was told": {
			plan.Authority{Stage: plan.AuthorityComing}, nil, introduce("it is there, and nobody was told yet"),
		},
		"servers get it": {
			coming, func(o *plan.Observation) { o.Spec.TLS.Certificate.Unbelieving = true },
			issue("servers are to believe other authorities"),
		},
		"clients have had the time": {coming, nil, promote},
		"clients have not":          {tooEarly, nil, nil},
		"there is no time left": {
			tooLate, agents(""), rotate(plan.PromoteAuthority, "the present one ends at 2026-04-01T12:00:00Z"),
		},
		"agents believe it not":   {coming, agents(""), nil},
		"a word for another step": {coming, agents("ForgetAuthority"), nil},
		"agents believe it":       {coming, agents("PromoteAuthority"), promote},
		"agents have former ones": {going, agents(""), nil},
		"agents have new ones":    {going, agents("ForgetAuthority"), forget},
		"agents are not known":    {coming, func(o *plan.Observation) { o.Raft.Gossip.Unanswered = "timed out" }, nil},
		"nobody leads":            {coming, func(o *plan.Observation) { o.Raft = plan.Raft{Unknown: "x"} }, nil},
		"a server presents a former one": {
			coming, func(o *plan.Observation) { o.Servers[1].Agent.Certificate = "former" },
			[]plan.Action{plan.ReadCertificate{Server: "consul-1"}},
		},
		"a server does not answer":    {coming, func(o *plan.Observation) { o.Servers[1].Agent = plan.Agent{} }, nil},
		"a server has no certificate": {coming, func(o *plan.Observation) { o.Servers[1].Agent.Certificate = "" }, nil},
		"the former one has issued": {
			going, func(o *plan.Observation) { o.Spec.TLS.Certificate.Former = true },
			issue("another authority issues certificates now"),
		},
		"none is of the former one": {going, nil, forget},
		"a user has none of the other one": {
			going, func(o *plan.Observation) { o.Spec.TLS.Certificate.Brought, o.Spec.TLS.Certificate.Former = true, true }, nil,
		},
		"a user has one of yet another one": {
			plan.Authority{Stage: plan.AuthorityGoing, Replacement: taken.Replacement},
			func(o *plan.Observation) { o.Spec.TLS.Certificate.Brought, o.Spec.TLS.Certificate.Former = true, true },
			introduce("the Secret mine holds another value"),
		},
		"a user provides certificates no more": {withdrawn, nil, introduce("the operator is to issue certificates again")},
		"a user provided those of the one that comes": {
			plan.Authority{Stage: plan.AuthorityComing, Introduced: true, KnownAt: noon, Replacement: withdrawn.Replacement}, nil,
			introduce("the operator is to issue certificates again"),
		},
		"a certificate of a user ends": {
			tooEarly, func(o *plan.Observation) {
				o.Spec.TLS.Certificate.Brought, o.Spec.TLS.Certificate.Until = true, noon.Add(time.Hour)
			}, rotate(plan.PromoteAuthority, "the present certificate ends at 2026-01-01T13:00:00Z"),
		},
		"it is lost": {plan.Authority{Replacement: plan.Replacement{Asked: true}}, nil, nil},
		"paused":     {coming, func(o *plan.Observation) { o.Spec.Paused = true }, promote},
	} {
		t.Run(name, func(t *testing.T) {
			d := plan.Plan(healthy(func(o *plan.Observation) {
				certified(o)
				o.Spec.TLS.Authority = test.authority
				if test.change != nil {
					test.change(o)
				}
			}), noon)
			g := NewWithT(t)
			if test.upkeep == nil {
				g.Expect(d.Upkeep).NotTo(ContainElement(BeAssignableToTypeOf(plan.RotateAuthority{})))
				return
			}
			g.Expect(d.Upkeep).To(Equal(test.upkeep))
		})
	}
}

// Nothing else wakes the operator when clients have had the time.
func TestTheNextAuthorityIsLookedFor(t *testing.T) {
	d := plan.Plan(healthy(func(o *plan.Observation) {
		certified(o)
		o.Spec.TLS.Authority = plan.Authority{
			Stage: plan.AuthorityComing, Introduced: true, KnownAt: noon.Add(day), From: noon, Until: noon.Add(365 * day),
		}
	}), noon)
	g := NewWithT(t)
	g.Expect(d.Done).To(BeTrue())
	g.Expect(d.RequeueAfter).To(Equal(day))
}

// A person learns what to do for agents, and that there is no authority to go on with.
func TestWhatAnotherAuthorityWaitsFor(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(o *plan.Observation)
		reason  reason.Reason
		message string
	}{
		"agents that do not believe it": {func(o *plan.Observation) {
			o.Spec.TLS.Authority = plan.Authority{
				Stage: plan.AuthorityComing, Introduced: true, KnownAt: noon, From: noon, Until: noon.Add(365 * day),
			}
			o.Raft.Gossip.ClientAgents = []string{"app-1"}
		}, reason.WaitingForAgents, "agents-ready-for=PromoteAuthority"},
		"agents with certificates of the former one, and without a gossip key": {func(o *plan.Observation) {
			o.Spec.TLS.Authority = plan.Authority{Stage: plan.AuthorityGoing}
			o.Spec.Gossip = plan.Gossip{Phase: plan.GossipSending, Target: plan.GossipRequired}
			o.Raft.Gossip.ClientAgents = []string{"app-1"}
		}, reason.WaitingForAgents, "agents-ready-for=Required (client agents: app-1); the certificate authority stays"},
		"there is none": {func(o *plan.Observation) {
			o.Spec.TLS.Authority.Replacement.Asked = true
		}, reason.RenewingCertificate, "the present one is lost"},
	} {
		t.Run(name, func(t *testing.T) {
			d := plan.Plan(healthy(func(o *plan.Observation) {
				certified(o)
				o.Spec.Object = "consul -n default"
				test.change(o)
			}), noon)
			g := NewWithT(t)
			g.Expect(d.Reason).To(Equal(test.reason))
			g.Expect(d.Message).To(ContainSubstring(test.message))
		})
	}
}
