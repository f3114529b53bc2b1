package plan_test

import (
	"testing"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// stopping adds a server, and deletes the pod of one that retires. Its process runs on.
func stopping(o *plan.Observation, i int) *plan.Server {
	fourth(o)
	s := retiring(o, i)
	s.Pod.Terminating, s.Pod.StopBy = true, noon.Add(time.Second)
	return s
}

// A server that runs on although its pod is being deleted would be killed, as a voter.
func TestAServerThatMissedSIGTERM(t *testing.T) {
	testSteps(t, map[string]stepTest{
		"I1 it came back, and has no vote yet": {
			func(o *plan.Observation) {
				stopping(o, 1).Peer.Voter = false
			}, plan.Leave{Server: "consul-1"}, reason.Leaving,
		},
		"I1 it has its vote again": {
			func(o *plan.Observation) { stopping(o, 1) }, plan.Leave{Server: "consul-1"}, reason.Leaving,
		},
		"I1 its vote is needed": {
			func(o *plan.Observation) {
				stopping(o, 1)
				o.Servers[2].Health = plan.HealthUnhealthy
			}, nil, reason.RemovingServer,
		},
		"I3 it leads": {
			func(o *plan.Observation) { stopping(o, 0) }, nil, reason.RemovingServer,
		},
		"I9 clients are sent to it": {
			func(o *plan.Observation) {
				stopping(o, 1).Routed = true
			}, nil, reason.RemovingServer,
		},
	})
}
