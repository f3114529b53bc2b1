package plan_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

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
			Stage: plan.AuthoritySettled, From: noon.Add(left - 5*year), Until: noon.Add(left), Asked: asked,
		}
	}
	coming := plan.Authority{Stage: plan.AuthorityComing, Introduced: true, KnownAt: noon}
	tooEarly := plan.Authority{Stage: plan.AuthorityComing, Introduced: true, KnownAt: noon.Add(time.Second)}
	going := plan.Authority{Stage: plan.AuthorityGoing}
	for name, test := range map[string]struct {
		authority plan.Authority
		change    func(o *plan.Observation)
		upkeep    []plan.Action
	}{
		"I5 it is young":      {settled(2*year, false), nil, nil},
		"a fifth of its life": {settled(year, false), nil, introduce("the present one ends at 2027-01-01T12:00:00Z")},
		"it is asked for":     {settled(5*year, true), nil, introduce("it was asked for")},
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
		"it is lost":                {plan.Authority{Asked: true}, nil, nil},
		"paused":                    {coming, func(o *plan.Observation) { o.Spec.Paused = true }, promote},
	} {
		t.Run(name, func(t *testing.T) {
			d := plan.Plan(healthy(func(o *plan.Observation) {
				certified(o)
				o.Spec.TLS.Authority = test.authority
				if test.change != nil {
					test.change(o)
				}
			}), noon)
			NewWithT(t).Expect(d.Upkeep).To(Equal(test.upkeep))
		})
	}
}

// Nothing else wakes the operator when clients have had the time.
func TestTheNextAuthorityIsLookedFor(t *testing.T) {
	d := plan.Plan(healthy(func(o *plan.Observation) {
		certified(o)
		o.Spec.TLS.Authority = plan.Authority{Stage: plan.AuthorityComing, Introduced: true, KnownAt: noon.Add(day)}
	}), noon)
	g := NewWithT(t)
	g.Expect(d.Done).To(BeTrue())
	g.Expect(d.RequeueAfter).To(Equal(day))
}
