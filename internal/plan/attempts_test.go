package plan_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// refused is an attempt that a quota has refused for a while.
func refused(attempt string, since, last time.Duration) plan.Failure {
	return plan.Failure{
		Attempt: attempt, Problem: plan.Problem{Reason: reason.QuotaExceeded, Message: "the quota is used up"},
		Since: noon.Add(-since), Last: noon.Add(-last),
	}
}

// What was refused is tried again after 10 s to a minute, and what nobody refused sooner.
func TestPausesBetweenAttempts(t *testing.T) {
	unanswered := func(since, last time.Duration) plan.Failure {
		f := refused("Leave Server:consul-0", since, last)
		f.Reason = reason.ConsulUnreachable
		return f
	}
	for what, test := range map[string]struct {
		failure plan.Failure
		pause   time.Duration
	}{
		"refused just now":         {refused("Leave Server:consul-0", 0, 0), 10 * time.Second},
		"refused for 40 s":         {refused("Leave Server:consul-0", 40*time.Second, 0), 20 * time.Second},
		"refused for a day":        {refused("Leave Server:consul-0", 24*time.Hour, 0), time.Minute},
		"unanswered just now":      {unanswered(0, 0), time.Second},
		"unanswered for a quarter": {unanswered(15*time.Second, 0), 7500 * time.Millisecond},
	} {
		t.Run(what, func(t *testing.T) {
			g := NewWithT(t)
			o := plan.Observation{Failures: []plan.Failure{test.failure}}
			g.Expect(o.IsWithheld(test.failure.Attempt, noon.Add(test.pause-1))).To(BeTrue())
			g.Expect(o.IsWithheld(test.failure.Attempt, noon.Add(test.pause))).To(BeFalse())
			g.Expect(o.IsWithheld("Leave Server:consul-1", noon)).To(BeFalse())
		})
	}
}

// What cannot be done is said where users look: instead of the message if the step fails or all else is done, and after it while
// other things go on. It does not hide what only a person can end.
func TestFailuresAreTold(t *testing.T) {
	step := plan.Plan(healthy(func(o *plan.Observation) { o.Spec.Revision = "new" }), noon)
	budget := refused("PodDisruptionBudget consul", time.Minute, time.Second)
	passing := budget
	passing.Reason, passing.Since = reason.WebhookUnavailable, noon.Add(-time.Second)
	lasting := passing
	lasting.Since = noon.Add(-10 * time.Second)
	outdated := func(o *plan.Observation) { o.Spec.Revision = "new" }
	for what, test := range map[string]struct {
		change  func(*plan.Observation)
		failure plan.Failure
		reason  reason.Reason
		message string
	}{
		"the step": {outdated, refused(plan.AttemptOf(step.Step), time.Minute, time.Second), reason.QuotaExceeded,
			"the quota is used up"},
		"something else, all is done": {func(*plan.Observation) {}, budget, reason.QuotaExceeded, "the quota is used up"},
		"something else, meanwhile":   {outdated, budget, step.Reason, step.Message + "; besides, the quota is used up"},
		"for a moment": {
			func(*plan.Observation) {}, passing, reason.Healthy, "all servers are healthy voters and serve",
		},
		"for longer": {func(*plan.Observation) {}, lasting, reason.WebhookUnavailable, "the quota is used up"},
		"beside a damaged record": {func(o *plan.Observation) {
			o.Damaged = &plan.Problem{Reason: reason.DamagedRecord, Message: "damaged"}
		}, budget, reason.DamagedRecord, "damaged"},
	} {
		t.Run(what, func(t *testing.T) {
			g := NewWithT(t)
			o := healthy(test.change)
			o.Failures = []plan.Failure{test.failure}
			d := plan.Plan(o, noon)
			g.Expect(d.Reason).To(Equal(test.reason))
			g.Expect(d.Message).To(Equal(test.message))
			g.Expect(d.Done).To(Equal(test.reason == reason.Healthy))
			g.Expect(d.RequeueAfter).To(And(BeNumerically(">", 0), BeNumerically("<=", 10*time.Second)))
		})
	}
}

// A wait becomes less eager the longer it lasts for the same reason.
func TestLongWaits(t *testing.T) {
	for lasts, pause := range map[time.Duration]time.Duration{
		0: 500 * time.Millisecond, 30 * time.Second: 500 * time.Millisecond,
		5 * time.Minute: 5 * time.Second, time.Hour: 15 * time.Second,
	} {
		g := NewWithT(t)
		o := healthy(func(o *plan.Observation) {
			o.Servers[1].Agent.Answered = false
			o.Waited = plan.Waited{Reason: reason.WaitingForServer, Since: noon.Add(-lasts)}
		})
		g.Expect(plan.Plan(o, noon).RequeueAfter).To(Equal(pause), lasts.String())
		o.Waited.Reason = reason.WaitingForVoter
		g.Expect(plan.Plan(o, noon).RequeueAfter).To(Equal(500*time.Millisecond), "it is another wait")
	}
}
