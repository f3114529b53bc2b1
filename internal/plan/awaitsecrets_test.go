package plan_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// A Secret that a user takes away from a running cluster is asked for when nothing else is left to do.
func TestASecretThatCannotBeUsed(t *testing.T) {
	g := NewWithT(t)
	bad := &plan.Problem{Reason: reason.InvalidSpec, Message: "the Secret mine does not exist"}
	d := plan.Plan(healthy(func(o *plan.Observation) { o.Spec.Unusable = bad }), noon)
	g.Expect(d.Rule).To(Equal("AwaitSecrets"))
	g.Expect(d.Reason).To(Equal(reason.InvalidSpec))
	g.Expect(d.Message).To(Equal("the Secret mine does not exist"))

	d = plan.Plan(healthy(func(o *plan.Observation) {
		o.Spec.Unusable, o.Spec.Replicas = bad, 5
	}), noon)
	g.Expect(d.Step).To(BeAssignableToTypeOf(plan.CreateServer{}), "everything else goes on")
}

// Nobody but the user replaces an authority that a user provides, so the user is told in time.
func TestAnAuthorityOfAUserThatEnds(t *testing.T) {
	for left, rule := range map[time.Duration]string{19 * day: "AwaitSecrets", 21 * day: ""} {
		d := plan.Plan(healthy(func(o *plan.Observation) {
			certified(o)
			o.Spec.TLS.Authority = plan.Authority{
				Stage: plan.AuthoritySettled, From: noon.Add(left - 100*day), Until: noon.Add(left),
				Replacement: plan.Replacement{FromSecret: "mine"},
			}
		}), noon)
		NewWithT(t).Expect(d.Rule).To(Equal(rule))
	}
}

// Nobody but the user replaces a certificate that a user provides.
func TestACertificateOfAUserThatEnds(t *testing.T) {
	for left, rule := range map[time.Duration]string{14 * day: "AwaitSecrets", 16 * day: ""} {
		d := plan.Plan(healthy(func(o *plan.Observation) {
			certified(o)
			brought(o)
			o.Spec.TLS.Certificate.From, o.Spec.TLS.Certificate.Until = noon.Add(left-90*day), noon.Add(left)
		}), noon)
		NewWithT(t).Expect(d.Rule).To(Equal(rule))
		if rule != "" {
			NewWithT(t).Expect(d.Message).To(HaveSuffix("put another one into the Secret mine"))
		}
	}
}

// No event tells that a Secret has changed which is not the operator's.
func TestSecretsOfUsersAreLookedAtAgain(t *testing.T) {
	g := NewWithT(t)
	reads := func(o *plan.Observation) { o.Spec.ReadsSecrets = true }
	g.Expect(plan.Plan(healthy(reads), noon).RequeueAfter).To(Equal(5 * time.Minute))
	g.Expect(plan.Plan(healthy(func(o *plan.Observation) {
		reads(o)
		o.Spec.Paused = true
	}), noon).RequeueAfter).To(Equal(5 * time.Minute))

	waits := plan.Observation{Spec: plan.Spec{
		Replicas: 3, ReadsSecrets: true, Invalid: &plan.Problem{Reason: reason.InvalidSpec, Message: "the Secret mine does not exist"},
	}}
	g.Expect(plan.Plan(waits, noon).RequeueAfter).To(Equal(time.Second), "a new cluster waits for it")
}
