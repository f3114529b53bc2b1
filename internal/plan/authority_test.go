package plan_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/internal/plan"
)

func TestTheAuthority(t *testing.T) {
	const year = 365 * day
	introduce := func(because string) []plan.Action {
		return []plan.Action{plan.RotateAuthority{Step: plan.IntroduceAuthority, Because: because}}
	}
	promote := []plan.Action{plan.RotateAuthority{Step: plan.PromoteAuthority, Because: "servers believe it, and clients have had the time to"}}
	forget := []plan.Action{plan.RotateAuthority{Step: plan.ForgetAuthority, Because: "every server has a certificate of the other one"}}
	issue := func(because string) []plan.Action { return []plan.Action{plan.IssueCertificate{Because: because}} }
	coming := plan.Authority{Stage: plan.AuthorityComing, Introduced: true, KnownAt: noon}
	for name, test := range map[string]struct {
		authority plan.Authority
		change    func(o *plan.Observation)
		upkeep    []plan.Action
	}{
		"I5 it is young":      {plan.Authority{Stage: plan.AuthoritySettled, From: noon.Add(-3 * year), Until: noon.Add(2 * year)}, nil, nil},
		"a fifth of its life": {plan.Authority{Stage: plan.AuthoritySettled, From: noon.Add(-4 * year), Until: noon.Add(year)}, nil, introduce("the present one ends at 2027-01-01T12:00:00Z")},
		"it is asked for":     {plan.Authority{Stage: plan.AuthoritySettled, From: noon, Until: noon.Add(year), Asked: true}, nil, introduce("it was asked for")},
		"before there is a cluster": {
			plan.Authority{Stage: plan.AuthoritySettled, From: noon, Until: noon.Add(year), Asked: true}, func(o *plan.Observation) { o.Spec.Bootstrapped = false }, nil,
		},
		"nobody was told":                {plan.Authority{Stage: plan.AuthorityComing}, nil, introduce("it is there, and nobody was told yet")},
		"servers get it":                 {coming, func(o *plan.Observation) { o.Spec.TLS.Certificate.Unbelieving = true }, issue("servers are to believe other authorities")},
		"clients have had the time":      {coming, nil, promote},
		"clients have not":               {plan.Authority{Stage: plan.AuthorityComing, Introduced: true, KnownAt: noon.Add(time.Second)}, nil, nil},
		"a server presents a former one": {coming, func(o *plan.Observation) { o.Servers[1].Agent.Certificate = "former" }, []plan.Action{plan.ReadCertificate{Server: "consul-1"}}},
		"a server does not answer":       {coming, func(o *plan.Observation) { o.Servers[1].Agent = plan.Agent{} }, nil},
		"a server has no certificate":    {coming, func(o *plan.Observation) { o.Servers[1].Agent.Certificate = "" }, nil},
		"the former one has issued":      {plan.Authority{Stage: plan.AuthorityGoing}, func(o *plan.Observation) { o.Spec.TLS.Certificate.Former = true }, issue("another authority issues certificates now")},
		"none is of the former one":      {plan.Authority{Stage: plan.AuthorityGoing}, nil, forget},
		"it is lost":                     {plan.Authority{Stage: plan.AuthorityUnknown, Asked: true}, nil, nil},
		"paused":                         {coming, func(o *plan.Observation) { o.Spec.Paused = true }, promote},
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
