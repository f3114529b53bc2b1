package plan_test

import (
	"testing"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// A server that runs on although its pod is being deleted would be killed, as a voter.
func TestAServerThatMissedSIGTERM(t *testing.T) {
	testSteps(t, map[string]stepTest{
		"I1 it came back, and has no vote yet": {
			func(o *plan.Observation) {
				fourth(o)
				s := retiring(o, 1)
				s.Pod.Terminating, s.Pod.StopBy, s.Peer.Voter = true, noon.Add(time.Second), false
			}, plan.Leave{Server: "consul-1"}, reason.Leaving,
		},
		"I1 it has its vote again": {
			func(o *plan.Observation) {
				fourth(o)
				s := retiring(o, 1)
				s.Pod.Terminating, s.Pod.StopBy = true, noon.Add(time.Second)
			}, plan.Leave{Server: "consul-1"}, reason.Leaving,
		},
		"I1 its vote is needed": {
			func(o *plan.Observation) {
				fourth(o)
				o.Servers[2].Health = plan.HealthUnhealthy
				s := retiring(o, 1)
				s.Pod.Terminating, s.Pod.StopBy = true, noon.Add(time.Second)
			}, nil, reason.RemovingServer,
		},
		"I3 it leads": {
			func(o *plan.Observation) {
				fourth(o)
				s := retiring(o, 0)
				s.Pod.Terminating, s.Pod.StopBy = true, noon.Add(time.Second)
			}, nil, reason.RemovingServer,
		},
		"I9 clients are sent to it": {
			func(o *plan.Observation) {
				fourth(o)
				s := retiring(o, 1)
				s.Pod.Terminating, s.Pod.StopBy, s.Routed = true, noon.Add(time.Second), true
			}, nil, reason.RemovingServer,
		},
	})
}
