package plan_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

func TestUpkeep(t *testing.T) {
	for name, test := range map[string]struct {
		change func(o *plan.Observation)
		upkeep []plan.Action
	}{
		"I5 nothing to do": {func(*plan.Observation) {}, nil},
		"a pod that is gone comes back, also while paused": {
			func(o *plan.Observation) { o.Servers[1].Pod, o.Spec.Paused = nil, true },
			[]plan.Action{plan.CreatePod{Server: "consul-1"}},
		},
		"a pod that will never run again is deleted": {
			func(o *plan.Observation) { o.Servers[1].Pod.Finished = true }, []plan.Action{plan.DeletePod{Server: "consul-1"}},
		},
		"also that of a server that retires and has left": {
			func(o *plan.Observation) { retiring(o, 1).Pod.Finished = true }, []plan.Action{plan.DeletePod{Server: "consul-1"}},
		},
		"but not at once, if it failed at once": {
			func(o *plan.Observation) {
				o.Servers[1].Pod.Finished, o.Servers[1].Pod.Created = true, noon.Add(-9*time.Second)
			}, nil,
		},
		"a while after it was created": {
			func(o *plan.Observation) {
				o.Servers[1].Pod.Finished, o.Servers[1].Pod.Created = true, noon.Add(-10*time.Second)
			}, []plan.Action{plan.DeletePod{Server: "consul-1"}},
		},
		"a retiring server is not started again": {
			func(o *plan.Observation) { retiring(o, 1).Pod = nil }, nil,
		},
		"a retiring server is started again when its vote may be the missing one": {
			func(o *plan.Observation) { retiring(o, 1).Pod, o.Raft = nil, plan.Raft{} },
			[]plan.Action{plan.CreatePod{Server: "consul-1"}},
		},
		"a server that is about to be replaced in place gets no pod of the old revision": {
			func(o *plan.Observation) {
				s := &o.Servers[1]
				s.Pod, s.Peer, s.Member, s.Revision = nil, nil, plan.MemberAbsent, "old"
			}, nil,
		},
		"a pod without a claim is deleted": {
			func(o *plan.Observation) { o.Orphans = []string{"consul-9"} }, []plan.Action{plan.DeleteOrphan{Pod: "consul-9"}},
		},
		"a claim that is being deleted gets no pod": {
			func(o *plan.Observation) { o.Servers[1].Pod, o.Servers[1].ClaimDeleting = nil, true }, nil,
		},
		"a healthy voter starts to serve": {
			func(o *plan.Observation) { o.Servers[1].Pod.Serving = false }, []plan.Action{plan.StartServing{Server: "consul-1"}},
		},
		"an unhealthy voter does not start to serve": {
			func(o *plan.Observation) {
				o.Servers[1].Pod.Serving, o.Servers[1].Health = false, plan.HealthUnhealthy
			}, nil,
		},
		"the Service does not run empty when autopilot calls all unhealthy after an election": {
			func(o *plan.Observation) {
				for i := range o.Servers {
					o.Servers[i].Health = plan.HealthUnhealthy
				}
			}, nil,
		},
		"a retiring server stops serving": {
			func(o *plan.Observation) { o.Servers[1].Retiring = true }, []plan.Action{plan.StopServing{Server: "consul-1"}},
		},
		"a server without a vote stops serving": {
			func(o *plan.Observation) { o.Servers[1].Peer.Voter = false }, []plan.Action{plan.StopServing{Server: "consul-1"}},
		},
		"without a leader no gate is touched": {
			func(o *plan.Observation) { o.Raft, o.Servers[1].Retiring = plan.Raft{}, true }, nil,
		},
		"autopilot's minimum follows replicas": {
			func(o *plan.Observation) { o.Raft.MinQuorum = 0 }, []plan.Action{plan.SetMinQuorum{Servers: 3}},
		},
		"but not while paused": {
			func(o *plan.Observation) { o.Raft.MinQuorum, o.Spec.Paused = 0, true }, nil,
		},
		"autopilot is told what users ask for, and nothing else": {
			func(o *plan.Observation) {
				o.Spec.Autopilot = map[string]string{"last_contact_threshold": "1s", "max_trailing_logs": "500"}
				o.Raft.Autopilot = map[string]string{
					"last_contact_threshold": "200ms", "max_trailing_logs": "500", "cleanup_dead_servers": "false",
				}
			},
			[]plan.Action{plan.SetAutopilot{Settings: map[string]string{"last_contact_threshold": "1s"}}},
		},
		"not without a leader": {
			func(o *plan.Observation) {
				o.Spec.Autopilot, o.Raft = map[string]string{"last_contact_threshold": "1s"}, plan.Raft{}
			}, nil,
		},
		"I2 a drained server that can move is not evicted": {
			func(o *plan.Observation) { drain(o, 1) }, nil,
		},
		"a new pod is kept from nodes that are drained": {
			func(o *plan.Observation) { drain(o, 1); drain(o, 0); o.Servers[2].Pod = nil },
			[]plan.Action{plan.CreatePod{Server: "consul-2", Avoid: []string{nodeOf(0), nodeOf(1)}}},
		},
		"no node takes it and another one is drained: it is kept from that one, too": {
			func(o *plan.Observation) { drainedNowhere(o, 1); drain(o, 2) }, []plan.Action{plan.DeletePod{Server: "consul-3"}},
		},
		"no node takes it and the one that it is kept from is drained no more: it may go there": {
			func(o *plan.Observation) {
				drainedNowhere(o, 1)
				o.Servers[1].Pod.Cordoned, o.Spec.Paused = false, true
			},
			[]plan.Action{plan.DeletePod{Server: "consul-3"}},
		},
		"but not while the one that was evicted is away": {
			func(o *plan.Observation) {
				drainedNowhere(o, 1)
				o.Servers[1].Pod, o.Servers[1].Peer = &plan.Pod{Revision: "r"}, nil
			}, nil,
		},
		"one that cannot move is": {
			func(o *plan.Observation) { drainedNowhere(o, 1) }, evictable,
		},
		"I3 but not the leader": {func(o *plan.Observation) { drainedNowhere(o, 0) }, nil},
		"unless there is no other": {
			func(o *plan.Observation) {
				drainedNowhere(o, 0)
				drain(o, 1)
				drain(o, 2)
				o.Servers[3].Pod.Avoids = []string{nodeOf(0), nodeOf(1), nodeOf(2)}
			}, evictable,
		},
		"I1 one at a time": {
			func(o *plan.Observation) {
				drainedNowhere(o, 1)
				o.Servers[2].Pod.Ready, o.MinAvailable = false, new(2)
			},
			[]plan.Action{plan.SetMinAvailable{Pods: 4}},
		},
		"a paused cluster does not keep a node from being drained": {
			func(o *plan.Observation) { drain(o, 1); o.Spec.Paused = true },
			evictable,
		},
		"nor one that waits for its snapshot, until the server is evicted": {
			func(o *plan.Observation) {
				fourth(o)
				drain(o, 1)
				o.Servers[1].Pod.Terminating, o.MinAvailable = true, new(2)
				o.Spec.UpgradeSnapshot = &plan.UpgradeSnapshot{Exists: true}
			}, []plan.Action{plan.SetMinAvailable{Pods: 4}},
		},
		"nor does one that waits for a person after a restore": {
			func(o *plan.Observation) {
				drain(o, 1)
				o.Spec.Restore = &plan.Restore{Recorded: true, Incomplete: true}
			}, evictable,
		},
		"one that is restored does": {
			func(o *plan.Observation) { drain(o, 1); o.Spec.Restore = &plan.Restore{Recorded: true} }, nil,
		},
		"an operator that is not told of nodes lets one go at a time": {
			func(o *plan.Observation) { o.NodesKnown = false }, evictable,
		},
		"the only server is never evicted, whoever is told of nodes": {
			func(o *plan.Observation) {
				o.Spec.Replicas, o.Raft.MinQuorum, o.Servers, o.NodesKnown = 1, 1, o.Servers[:1], false
			}, nil,
		},
		"the budget counts a server before it has a pod": {
			func(o *plan.Observation) {
				o.Servers[2].Pod, o.MinAvailable = nil, new(2)
			}, []plan.Action{plan.SetMinAvailable{Pods: 3}, plan.CreatePod{Server: "consul-2"}},
		},
		"and one that leaves until its claim is gone": {
			func(o *plan.Observation) { o.Servers[2].Retiring, o.Servers[2].Pod = true, nil }, nil,
		},
		"and pods that are no server's": {
			func(o *plan.Observation) { o.Unclaimed, o.MinAvailable = 2, new(3) },
			[]plan.Action{plan.SetMinAvailable{Pods: 5}},
		},
		"it asks for no more pods than there are": {
			func(o *plan.Observation) { o.MinAvailable = new(1000) }, []plan.Action{plan.SetMinAvailable{Pods: 3}},
		},
		"also while paused": {
			func(o *plan.Observation) { o.MinAvailable, o.Spec.Paused = new(4), true },
			[]plan.Action{plan.SetMinAvailable{Pods: 3}},
		},
		"nothing while a record is damaged": {
			func(o *plan.Observation) {
				o.Damaged, o.Servers[1].Pod = &plan.Problem{Reason: reason.DamagedRecord}, nil
			}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(plan.Plan(healthy(test.change), noon).Upkeep).To(Equal(test.upkeep))
		})
	}
}

// evictable is what lets one of three servers be evicted.
var evictable = []plan.Action{plan.SetMinAvailable{Pods: 2, Because: "one server at a time may be evicted"}}

// A budget that is not there is created by Sync; one that cannot be created is not asked for again and again.
func TestNoBudget(t *testing.T) {
	o := healthy(func(*plan.Observation) {})
	o.MinAvailable = nil
	NewWithT(t).Expect(plan.Plan(o, noon).Upkeep).To(BeEmpty())
}

// A pod that failed and is to be made anew later is waited for: the operator looks again.
func TestAFailedPodIsWaitedFor(t *testing.T) {
	for name, change := range map[string]func(o *plan.Observation){
		"as usual":     func(*plan.Observation) {},
		"while paused": func(o *plan.Observation) { o.Spec.Paused = true },
	} {
		t.Run(name, func(t *testing.T) {
			o := healthy(func(o *plan.Observation) {
				s := &o.Servers[1]
				s.Pod = &plan.Pod{Revision: "r", Finished: true, Created: noon}
				s.Agent.Answered, s.Routed, s.Health = false, false, plan.HealthUnhealthy
				change(o)
			})
			d := plan.Plan(o, noon)
			NewWithT(t).Expect(d.RequeueAfter).To(And(BeNumerically(">", 0), BeNumerically("<=", time.Second)), d.Message)
		})
	}
}
