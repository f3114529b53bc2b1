package plan

import (
	"slices"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
)

// Plan decides what to do next.
func Plan(o Observation, now time.Time) Decision {
	v := look(&o, now)
	decision := decide(v)
	decision.Upkeep = upkeep(v)
	if decision.RequeueAfter == 0 {
		decision.RequeueAfter = v.nextLook(decision)
	}
	if decision.IsWait() && decision.Reason == o.Waited.Reason {
		decision.RequeueAfter = v.patiently(decision.RequeueAfter)
	}
	v.tellFailures(&decision)
	return decision
}

// decide asks the rules.
func decide(v view) Decision {
	for _, rule := range rules {
		d := rule.decide(v)
		if d == nil {
			continue
		}
		if rule.Kind == Voluntary && !v.leaderIsStable() {
			d = v.awaitStableLeader()
		}
		d.Rule = rule.Name
		return *d
	}
	return Decision{Done: true, Reason: reason.Healthy, Message: "all servers are healthy voters and serve"}
}

// patiently makes a wait less eager the longer it lasts: after a minute once a second, after a quarter of an hour every 15 s.
// Events of Kubernetes end it sooner.
func (v view) patiently(requeueAfter time.Duration) time.Duration {
	if requeueAfter == 0 {
		return 0
	}
	return max(requeueAfter, min(v.now.Sub(v.Waited.Since)/60, waitLatest))
}

// nextLook is when to observe a cluster again that waits for nothing.
func (v view) nextLook(d Decision) time.Duration {
	switch {
	case slices.ContainsFunc(d.Upkeep, func(a Action) bool { return !v.IsWithheld(AttemptOf(a), v.now) }):
		return soon
	case v.Raft.CatalogUnanswered:
		return forPeople
	}
	return earliest(v.lookForCertificate(), v.lookForOthers())
}

// earliest is the first of two times to look again; 0 is never.
func earliest(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}
