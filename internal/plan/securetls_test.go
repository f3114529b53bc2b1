package plan_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// tls is a healthy cluster in a phase of TLS, on the way to another one.
func tls(is, target plan.TLSPhase, changes ...func(o *plan.Observation)) func(o *plan.Observation) {
	return func(o *plan.Observation) {
		if is != plan.TLSOff {
			certified(o)
		}
		o.Spec.TLS.Phase, o.Spec.TLS.Target, o.Spec.Object = is, target, "consul -n default"
		for i := range o.Servers {
			o.Servers[i].Pod.TLS = is
		}
		for _, change := range changes {
			change(o)
		}
	}
}

func TestSecureTLS(t *testing.T) {
	const off, accepting, sending, required, only = plan.TLSOff, plan.TLSAccepting, plan.TLSSending, plan.TLSRequired, plan.TLSOnly
	clients := func(o *plan.Observation) { o.Raft.Gossip.ClientAgents = []string{"app-1", "app-2"} }
	unanswered := func(o *plan.Observation) { o.Raft.Gossip.Unanswered = "timed out" }
	ready := func(phase string) func(o *plan.Observation) {
		return func(o *plan.Observation) { o.Spec.AgentsReady = phase }
	}
	to := func(p plan.TLSPhase) plan.Action { return plan.SetTLS{Phase: p} }
	testSteps(t, map[string]stepTest{
		"I5 it is as wanted":             {tls(only, only, clients), nil, reason.Healthy},
		"I5 HTTP stays open":             {tls(required, required, clients), nil, reason.Healthy},
		"I10 on, one phase at a time":    {tls(off, only), to(accepting), reason.SecuringTLS},
		"I10 on, the second phase":       {tls(accepting, only), to(sending), reason.SecuringTLS},
		"I10 on, the third phase":        {tls(sending, required), to(required), reason.SecuringTLS},
		"HTTP is closed last":            {tls(required, only, clients), to(only), reason.SecuringTLS},
		"HTTP is opened":                 {tls(only, required), to(required), reason.SecuringTLS},
		"I10 off, one phase at a time":   {tls(only, off), to(required), reason.SecuringTLS},
		"I10 off, the second phase":      {tls(required, off, clients), to(sending), reason.SecuringTLS},
		"I10 off, the third phase":       {tls(sending, off, clients), to(accepting), reason.SecuringTLS},
		"I10 off, the last phase":        {tls(accepting, off), to(off), reason.SecuringTLS},
		"agents call as they like":       {tls(off, required, clients), to(accepting), reason.SecuringTLS},
		"still as they like":             {tls(accepting, required, clients), to(sending), reason.SecuringTLS},
		"agents without a certificate":   {tls(sending, required, clients), nil, reason.WaitingForAgents},
		"it is not known who they are":   {tls(sending, required, unanswered), nil, reason.WaitingForAgents},
		"a person says that they are":    {tls(sending, required, clients, ready("TLSRequired")), to(required), reason.SecuringTLS},
		"a word for gossip is none":      {tls(sending, required, clients, ready("Required")), nil, reason.WaitingForAgents},
		"off: agents may call by TLS":    {tls(accepting, off, clients), nil, reason.WaitingForAgents},
		"off: a person says they do not": {tls(accepting, off, clients, ready("TLSOff")), to(off), reason.SecuringTLS},
		"gossip first": {
			tls(off, required, func(o *plan.Observation) { o.Spec.Gossip.Target = plan.GossipRequired }),
			plan.SetGossip{Phase: plan.GossipAccepting}, reason.SecuringGossip,
		},
		"TLS before another gossip key": {
			tls(accepting, required, func(o *plan.Observation) { o.Spec.Gossip.Rotation.Replacement.Asked = true }),
			to(sending), reason.SecuringTLS,
		},
		"a certificate before another phase": {
			tls(accepting, required, func(o *plan.Observation) { o.Servers[1].Agent.Certificate = "former" }),
			nil, reason.RenewingCertificate,
		},
		"off, although there is no authority any more": {
			tls(required, off, func(o *plan.Observation) {
				o.Spec.TLS.Certificate = plan.Certificate{}
				o.Failures = []plan.Failure{{Attempt: plan.AttemptOf(plan.IssueCertificate{}), Since: noon.Add(-day)}}
			}), to(sending), reason.SecuringTLS,
		},
		"a rotation goes on while agents are waited for": {
			tls(sending, required, clients, func(o *plan.Observation) {
				o.Spec.Gossip = plan.Gossip{
					Phase: plan.GossipRequired, Target: plan.GossipRequired, Rotation: plan.Rotation{Stage: plan.KeyComing},
				}
				o.Raft.Gossip.Keyring = plan.Keyring{Members: 5, HaveKey: 3}
			}), plan.RotateGossip{Step: plan.InstallKey}, reason.RotatingGossipKey,
		},
		"keys that nobody tells are no matter": {
			tls(sending, required, func(o *plan.Observation) { o.Raft.Gossip.KeysUnanswered = "403" }), to(required), reason.SecuringTLS,
		},
		"TLS goes on while agents get the gossip key": {
			tls(off, required, clients, func(o *plan.Observation) {
				o.Spec.Gossip = plan.Gossip{Phase: plan.GossipAccepting, Target: plan.GossipRequired}
			}), to(accepting), reason.SecuringTLS,
		},
		"a new leader has to be stable": {
			tls(off, required, func(o *plan.Observation) { o.Raft.LeaderSince = noon }), nil, reason.LeaderNotStable,
		},
		"I10 a server is missing": {
			tls(accepting, required, func(o *plan.Observation) { o.Servers[2].Pod.Running = false }), nil, reason.WaitingForServer,
		},
		"I10 a server has an older revision": {
			tls(accepting, required, func(o *plan.Observation) { o.Servers[2].Revision = "old" }),
			plan.CreateServer{Serial: 3}, reason.CreatingServer,
		},
		"paused": {tls(off, required, func(o *plan.Observation) { o.Spec.Paused = true }), nil, reason.Paused},
	})
}

func TestTheRecordOfTLSIsWrittenAgain(t *testing.T) {
	g := NewWithT(t)
	o := healthy(tls(plan.TLSSending, plan.TLSSending, func(o *plan.Observation) { o.Spec.TLS.Unrecorded = true }))
	g.Expect(plan.Plan(o, noon).Upkeep).To(ConsistOf(plan.SetTLS{Phase: plan.TLSSending}))
}

func TestRevertTLS(t *testing.T) {
	const off, accepting, sending, required = plan.TLSOff, plan.TLSAccepting, plan.TLSSending, plan.TLSRequired
	back := func(p plan.TLSPhase) plan.Action { return plan.SetTLS{Phase: p} }
	goesOn := plan.CreateServer{Serial: 3}
	between := func(former, is, target plan.TLSPhase, changes ...func(o *plan.Observation)) func(o *plan.Observation) {
		return tls(is, target, append([]func(o *plan.Observation){func(o *plan.Observation) {
			outdated(o)
			for i := range o.Servers {
				o.Servers[i].Pod.TLS = former
			}
			o.Servers[2].Pod.TLS = is
		}}, changes...)...)
	}
	testSteps(t, map[string]stepTest{
		"what does not start goes on":      {between(off, accepting, required), goesOn, reason.CreatingServer},
		"on, and off before all have one":  {between(off, accepting, off), back(off), reason.SecuringTLS},
		"off, and on before all send so":   {between(required, sending, required), back(required), reason.SecuringTLS},
		"I10 not to a phase some call not": {between(sending, accepting, off), goesOn, reason.CreatingServer},
		"I10 nor while a server has the revision of another phase and no pod": {
			between(off, accepting, off, func(o *plan.Observation) { o.Servers[1].Pod = nil }), goesOn, reason.CreatingServer,
		},
		"nobody has to lead": {
			between(off, accepting, off, func(o *plan.Observation) { o.Raft = plan.Raft{Unknown: "x"} }), back(off), reason.SecuringTLS,
		},
	})
}

func TestNamesOfTLSPhases(t *testing.T) {
	g := NewWithT(t)
	for _, phase := range []plan.TLSPhase{plan.TLSOff, plan.TLSAccepting, plan.TLSSending, plan.TLSRequired, plan.TLSOnly} {
		g.Expect(plan.ParseTLSPhase(phase.String())).To(Equal(phase))
	}
	g.Expect(plan.ParseTLSPhase("")).To(Equal(plan.TLSOff))
	_, err := plan.ParseTLSPhase("Perhaps")
	g.Expect(err).To(MatchError(`"Perhaps" is none of Off, Accepting, Sending, Required, HTTPSOnly`))
}
