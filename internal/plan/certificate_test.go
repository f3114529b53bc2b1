package plan_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

const day = 24 * time.Hour

// certified is a healthy cluster whose servers present a certificate that is good for 90 days, of which the first is over.
func certified(o *plan.Observation) {
	o.Spec.TLS = plan.TLS{Phase: plan.TLSRequired, Target: plan.TLSRequired, Certificate: plan.Certificate{
		Fingerprint: "new", From: noon.Add(-day), Until: noon.Add(89 * day), ShownAt: noon.Add(-day),
	}}
	for i := range o.Servers {
		o.Servers[i].Agent.Certificate = "new"
	}
}

// renewed is the same a moment after it was replaced.
func renewed(o *plan.Observation) {
	certified(o)
	for i := range o.Servers {
		o.Servers[i].Agent.Certificate = "former"
	}
}

// brought is a certificate that a user provides.
func brought(o *plan.Observation) {
	o.Spec.TLS.Certificate.Brought = true
	o.Spec.TLS.Authority = plan.Authority{
		Stage: plan.AuthoritySettled, From: noon.Add(-day), Until: noon.Add(1000 * day),
		Replacement: plan.Replacement{FromSecret: "mine"},
	}
}

func TestTheCertificate(t *testing.T) {
	read := func(server string) []plan.Action { return []plan.Action{plan.ReadCertificate{Server: server}} }
	issue := func(because string) []plan.Action { return []plan.Action{plan.IssueCertificate{Because: because}} }
	expires := func(o *plan.Observation, left time.Duration) {
		certified(o)
		o.Spec.TLS.Certificate.From, o.Spec.TLS.Certificate.Until = noon.Add(left-90*day), noon.Add(left)
	}
	for name, test := range map[string]struct {
		change func(o *plan.Observation)
		upkeep []plan.Action
		done   bool
	}{
		"I5 all present it": {certified, nil, true},
		"without TLS":       {func(*plan.Observation) {}, nil, true},
		"a third of its life is left": {
			func(o *plan.Observation) { expires(o, 30*day) }, issue("it expires at 2026-01-31T12:00:00Z"), false,
		},
		"more is left":   {func(o *plan.Observation) { expires(o, 30*day+time.Second) }, nil, true},
		"it has expired": {func(o *plan.Observation) { expires(o, -day) }, issue("it expires at 2025-12-31T12:00:00Z"), false},
		"there is none": {
			func(o *plan.Observation) { certified(o); o.Spec.TLS.Certificate = plan.Certificate{} },
			issue("there is none that can be used"), false,
		},
		"servers have other names": {
			func(o *plan.Observation) { certified(o); o.Spec.TLS.Certificate.Misnamed = true }, issue("servers have other names"), false,
		},
		"a user provides it, and it expires": {
			func(o *plan.Observation) { expires(o, 20*day); brought(o); o.Spec.TLS.Certificate.Misnamed = true }, nil, true,
		},
		"a user provides another one": {
			func(o *plan.Observation) { certified(o); brought(o); o.Spec.TLS.Certificate.Superseded = true },
			issue("the Secret mine holds another one"), false,
		},
		"a user provides it, and servers are to believe others": {
			func(o *plan.Observation) { certified(o); brought(o); o.Spec.TLS.Certificate.Unbelieving = true },
			issue("servers are to believe other authorities"), false,
		},
		"the cluster is paused, and it expires": {
			func(o *plan.Observation) { expires(o, day); o.Spec.Paused = true }, issue("it expires at 2026-01-02T12:00:00Z"), false,
		},
		"kubelets do not show it yet": {
			func(o *plan.Observation) { renewed(o); o.Spec.TLS.Certificate.ShownAt = noon.Add(time.Second) }, nil, false,
		},
		"one after the other, the leader last": {renewed, read("consul-1"), false},
		"the next one": {
			func(o *plan.Observation) { renewed(o); o.Servers[1].Agent.Certificate = "new" }, read("consul-2"), false,
		},
		"the leader": {
			func(o *plan.Observation) { certified(o); o.Servers[0].Agent.Certificate = "former" }, read("consul-0"), false,
		},
		"one that refuses holds nobody up": {
			func(o *plan.Observation) {
				renewed(o)
				o.Failures = []plan.Failure{{Attempt: "ReadCertificate Server:consul-2", Since: noon, Last: noon}}
			}, []plan.Action{plan.ReadCertificate{Server: "consul-2"}, plan.ReadCertificate{Server: "consul-1"}}, false,
		},
		"a clock was ahead when it was issued": {
			func(o *plan.Observation) { certified(o); o.Spec.TLS.Certificate.From = noon.Add(time.Minute) },
			issue("it is not valid before 2026-01-01T12:01:00Z"), false,
		},
		"one that does not answer is not told": {
			func(o *plan.Observation) { certified(o); o.Servers[1].Agent = plan.Agent{Certificate: "former"} }, nil, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			d := plan.Plan(healthy(test.change), noon)
			g.Expect(d.Upkeep).To(Equal(test.upkeep))
			g.Expect(d.Done).To(Equal(test.done), "%+v", d)
			if !test.done && d.Rule == "AwaitCertificate" {
				g.Expect(d.Reason).To(Equal(reason.RenewingCertificate))
			}
		})
	}
}

func TestHowFarARenewalIs(t *testing.T) {
	g := NewWithT(t)
	o := healthy(func(o *plan.Observation) { renewed(o); o.Servers[1].Agent.Certificate = "new" })
	g.Expect(plan.Plan(o, noon).Message).To(Equal("1 of 3 servers present the new certificate, without a restart; next is consul-2"))
}

// A cluster that is held is looked at again, though nothing else wakes it.
func TestARenewalGoesOnWhilePaused(t *testing.T) {
	g := NewWithT(t)
	o := healthy(func(o *plan.Observation) {
		renewed(o)
		o.Spec.Paused, o.Spec.TLS.Certificate.ShownAt = true, noon.Add(2*time.Minute)
	})
	d := plan.Plan(o, noon)
	g.Expect(d.Reason).To(Equal(reason.Paused))
	g.Expect(d.RequeueAfter).To(Equal(2 * time.Minute))
	d = plan.Plan(o, noon.Add(2*time.Minute))
	g.Expect(d.Upkeep).To(Equal([]plan.Action{plan.ReadCertificate{Server: "consul-1"}}))
	g.Expect(plan.Plan(healthy(certified), noon).RequeueAfter).To(BeZero())
}

// An authority that is asked for before kubelets show the last certificate is not forgotten.
func TestAnAuthorityIsAskedForTooEarly(t *testing.T) {
	g := NewWithT(t)
	o := healthy(func(o *plan.Observation) {
		certified(o)
		o.Spec.TLS.Certificate.ShownAt = noon.Add(2 * time.Minute)
		o.Spec.TLS.Authority = plan.Authority{
			Stage: plan.AuthoritySettled, From: noon.Add(-day), Until: noon.Add(1000 * day), Replacement: plan.Replacement{Asked: true},
		}
	})
	g.Expect(plan.Plan(o, noon).RequeueAfter).To(Equal(2 * time.Minute))
	g.Expect(plan.Plan(o, noon.Add(2*time.Minute)).Upkeep).To(HaveLen(1))
	o.Spec.TLS.Authority.Replacement.Asked = false
	g.Expect(plan.Plan(o, noon).RequeueAfter).To(BeZero(), "nothing is to happen")
}

// A certificate that a user provides may end before clients have had the time to learn of another authority.
func TestACertificateOfAUserThatEndsWhileAnAuthorityComes(t *testing.T) {
	o := healthy(func(o *plan.Observation) {
		certified(o)
		brought(o)
		o.Spec.TLS.Certificate.From, o.Spec.TLS.Certificate.Until = noon.Add(-4*day), noon.Add(2*day)
		a := &o.Spec.TLS.Authority
		a.Stage, a.Introduced, a.KnownAt = plan.AuthorityComing, true, noon.Add(3*day)
	})
	NewWithT(t).Expect(plan.Plan(o, noon).RequeueAfter).To(Equal(day))
}

// A cluster has certificates before it has servers.
func TestACertificateFromTheBeginning(t *testing.T) {
	g := NewWithT(t)
	o := plan.Observation{Spec: plan.Spec{Replicas: 3, MaxSurge: 1, TLS: plan.TLS{Target: plan.TLSOnly}}}
	g.Expect(plan.Plan(o, noon).Step).To(Equal(plan.SetTLS{Phase: plan.TLSOnly}))
	o.Spec.TLS.Phase = plan.TLSOnly
	g.Expect(plan.Plan(o, noon).Step).To(Equal(plan.CreateServer{BootstrapExpect: 3}))
}
