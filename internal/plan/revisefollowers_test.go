package plan_test

import (
	"testing"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// In the middle of an upgrade an election that nobody planned made a new server the leader. The old ones cannot read its log.
func TestStepWhereServersCannotFollow(t *testing.T) {
	deaf := func(o *plan.Observation, i int) {
		s := &o.Servers[i]
		s.Revision, s.Pod.Revision, s.Agent.ReadsOnlyOldLogs = "old", "old", true
		s.Health, s.UnhealthySince = plan.HealthUnhealthy, noon.Add(-time.Minute)
	}
	both := func(o *plan.Observation) { deaf(o, 1); deaf(o, 2) }
	old := func(o *plan.Observation) { // and autopilot has not looked
		both(o)
		o.Servers[1].Health, o.Servers[2].Health = plan.HealthHealthy, plan.HealthHealthy
	}
	revise := plan.SetRevision{Server: "consul-1"}
	testSteps(t, map[string]stepTest{
		"the first of them gets the leader's revision": {both, revise, reason.UpdatingInPlace},
		"whatever autopilot thinks":                    {old, revise, reason.UpdatingInPlace},
		"a new server is not made the leader of old ones": {
			func(o *plan.Observation) {
				old(o)
				o.Raft.Leader, o.Spec.Transfer = "consul-1", &plan.TransferRequest{To: "consul-0"}
				fourth(o)
				o.Servers[3].Agent.ReadsOnlyOldLogs = true
			}, plan.MarkRetiring{Server: "consul-2"}, reason.RetiringServer,
		},
		"also if it has begun to retire": {
			func(o *plan.Observation) { both(o); o.Servers[1].Retiring = true }, revise, reason.UpdatingInPlace,
		},
		"then it is restarted": {
			func(o *plan.Observation) { both(o); o.Servers[1].Revision = "r" },
			plan.DeletePod{Server: "consul-1"}, reason.UpdatingInPlace,
		},
		"the other one waits until it is back": {
			func(o *plan.Observation) {
				both(o)
				s := &o.Servers[1]
				s.Revision, s.Pod.Terminating, s.Pod.StopBy, s.Agent.Answered = "r", true, noon, false
			}, nil, reason.UpdatingInPlace,
		},
		"also where the others are a quorum: it misses everything": {
			func(o *plan.Observation) { deaf(o, 1) }, revise, reason.UpdatingInPlace,
		},
		"but it may leave then, if it is about to": {
			func(o *plan.Observation) { deaf(o, 1); o.Servers[1].Retiring = true }, nil, reason.WaitingForEndpoints,
		},
		"a leader that does not answer for itself is no reason to wait": {
			func(o *plan.Observation) {
				both(o)
				o.Servers[0].Agent.Answered, o.Servers[0].Agent.Silence = false, plan.SilenceUnanswered
			}, revise, reason.UpdatingInPlace,
		},
		"one that has come back counts, whatever autopilot thinks": {
			func(o *plan.Observation) {
				both(o)
				s := &o.Servers[1]
				s.Revision, s.Pod.Revision, s.Agent.ReadsOnlyOldLogs = "r", "r", false
			}, plan.SetRevision{Server: "consul-2"}, reason.UpdatingInPlace,
		},
		"servers that lag for another cause may be about to read a snapshot": {
			func(o *plan.Observation) {
				both(o)
				o.Servers[1].Agent.ReadsOnlyOldLogs, o.Servers[2].Agent.ReadsOnlyOldLogs = false, false
			}, plan.CreateServer{Serial: 3}, reason.CreatingServer,
		},
		"nor under a leader that is not stable": {
			func(o *plan.Observation) { both(o); o.Raft.LeaderSince = noon.Add(-time.Second) }, nil, reason.LeaderNotStable,
		},
		"somebody has changed the spec since, and what is wanted now reads all logs": {
			func(o *plan.Observation) { both(o); o.Servers[0].Revision = "former" }, revise, reason.UpdatingInPlace,
		},
		"it was set back to what cannot read them": {
			func(o *plan.Observation) { both(o); o.Servers[0].Revision, o.Spec.ReadsOnlyOldLogs = "former", true },
			plan.CreateServer{Serial: 3}, reason.CreatingServer,
		},
		"a mute server that came back is back": {
			func(o *plan.Observation) {
				both(o)
				s := &o.Servers[1]
				s.Revision, s.Pod.Revision = "r", "r"
				s.Agent = plan.Agent{Silence: plan.SilenceUnanswered, Version: "1.22.7"}
			}, plan.SetRevision{Server: "consul-2"}, reason.UpdatingInPlace,
		},
		"a mute server that cannot follow is found as well": {
			func(o *plan.Observation) {
				both(o)
				o.Servers[1].Agent = plan.Agent{Silence: plan.SilenceUnanswered, Version: "1.19.2", ReadsOnlyOldLogs: true}
			}, revise, reason.UpdatingInPlace,
		},
		"those that have its revision lag for another cause": {
			func(o *plan.Observation) {
				both(o)
				for i := range o.Servers {
					o.Servers[i].Revision, o.Servers[i].Pod.Revision = "r", "r"
				}
			}, nil, reason.UnhealthyServer,
		},
		"a volume that is being deleted would be gone": {
			func(o *plan.Observation) { both(o); o.Servers[1].ClaimDeleting = true },
			plan.SetRevision{Server: "consul-2"}, reason.UpdatingInPlace,
		},
		"a paused cluster is left alone": {
			func(o *plan.Observation) { both(o); o.Spec.Paused = true }, nil, reason.Paused,
		},
	})
}
