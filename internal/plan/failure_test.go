package plan_test

import (
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// lagging is a voter that answers and that autopilot alone has called unhealthy for long.
func lagging(o *plan.Observation, i int) {
	s := &o.Servers[i]
	s.Health, s.UnhealthySince = plan.HealthUnhealthy, noon.Add(-time.Hour)
}

// sick is a voter that has been unhealthy for a while.
func sick(o *plan.Observation, i int, since time.Duration) *plan.Server {
	s := &o.Servers[i]
	s.Health, s.UnhealthySince, s.Member, s.Agent.Answered = plan.HealthUnhealthy, noon.Add(-since), plan.MemberFailed, false
	return s
}

// overdue is a server on a node of which nothing is heard.
func overdue(s *plan.Server) *plan.Server {
	s.Pod.Terminating, s.Pod.StopBy = true, noon.Add(-2*time.Minute)
	return s
}

// drainedNowhere is a cluster in which the node of a server is drained, and no other node takes another one.
func drainedNowhere(o *plan.Observation, i int) {
	fourth(o)
	drain(o, i)
	s := &o.Servers[3]
	s.Peer, s.Member, s.Health, s.Agent, s.Routed = nil, plan.MemberAbsent, plan.HealthUnknown, plan.Agent{}, false
	s.Pod = &plan.Pod{
		Revision: "r", Avoids: []string{nodeOf(i)}, Problem: plan.Problem{Reason: reason.Unschedulable, Message: "no node"},
	}
}

// kept are claims of servers that have failed.
var kept = []string{"consul-10", "consul-11", "consul-12", "consul-13", "consul-14"}

// Whoever waits for a replacement learns why there is none.
func TestWhyNoServerIsReplaced(t *testing.T) {
	for name, test := range map[string]struct {
		change func(o *plan.Observation)
		says   string
	}{
		"it will be": {func(*plan.Observation) {}, "it is replaced at 12:04:00 UTC unless it recovers"},
		"no more in this hour": {
			func(o *plan.Observation) { o.Spec.ReplacementsLeft = 0 },
			"it is not replaced: spec.failureReplacement.maxPerHour is used up",
		},
		"too many volumes are kept": {
			func(o *plan.Observation) { o.FailedVolumes = kept },
			"it is not replaced: at most 5 volumes of failed servers are kept; look at them and delete the claims: " +
				"consul-10, consul-11, consul-12, consul-13, consul-14",
		},
		"too many volumes are kept, and its node is dead": {
			func(o *plan.Observation) { overdue(&o.Servers[1]).Health = plan.HealthHealthy; o.FailedVolumes = kept },
			"it is not replaced: at most 5 volumes of failed servers are kept",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := healthy(func(o *plan.Observation) { sick(o, 1, time.Minute); test.change(o) })
			NewWithT(t).Expect(plan.Plan(o, noon).Message).To(ContainSubstring(test.says))
		})
	}
}

func nodeOf(i int) string { return "node-" + strconv.Itoa(i) }

func drain(o *plan.Observation, i int) {
	o.Servers[i].Pod.Node, o.Servers[i].Pod.Cordoned = nodeOf(i), true
}

func TestStepWhereServersFailOrAreDrained(t *testing.T) {
	testSteps(t, map[string]stepTest{
		"retiring on a dead node: its peer is pruned": {
			func(o *plan.Observation) { fourth(o); sick(o, 1, time.Hour); overdue(retiring(o, 1)) },
			plan.ForceLeave{Node: "consul-1"}, reason.PruningDeadPeer,
		},
		"I4 retiring on a dead node: not while Serf hears it": {
			func(o *plan.Observation) {
				fourth(o)
				s := overdue(retiring(o, 1))
				s.Agent.Answered, s.Peer = false, nil
			}, nil, reason.RemovingServer,
		},
		"retiring on a dead node: its volume is set aside": {
			func(o *plan.Observation) {
				fourth(o)
				s := overdue(retiring(o, 1))
				s.Agent.Answered, s.Peer, s.Member = false, nil, plan.MemberLeft
			}, plan.QuarantineClaim{Server: "consul-1"}, reason.RemovingServer,
		},
		"retiring, its kubelet is dead: it is asked to leave": {
			func(o *plan.Observation) { fourth(o); overdue(retiring(o, 1)) },
			plan.Leave{Server: "consul-1"}, reason.Leaving,
		},
		"given up: its volume is set aside": {
			func(o *plan.Observation) {
				fourth(o)
				s := retiring(o, 1)
				s.Failed, s.Pod, s.Peer, s.Member = true, nil, nil, plan.MemberLeft
			}, plan.QuarantineClaim{Server: "consul-1"}, reason.RemovingServer,
		},
		"given up, and back too late": {
			func(o *plan.Observation) {
				fourth(o)
				s := retiring(o, 1)
				s.Failed, s.Revision = true, "r"
			}, plan.Leave{Server: "consul-1"}, reason.Leaving,
		},
		"drained: another server takes its place": {
			func(o *plan.Observation) { drain(o, 1) }, plan.CreateServer{Serial: 3}, reason.NodeDraining,
		},
		"drained: it goes when another one serves": {
			func(o *plan.Observation) { fourth(o); drain(o, 1) },
			plan.MarkRetiring{Server: "consul-1"}, reason.RetiringServer,
		},
		"drained, and nowhere to go: that is said": {
			func(o *plan.Observation) { drainedNowhere(o, 1) }, nil, reason.Unschedulable,
		},
		"I3 drained, and nowhere to go: the leader hands over before it is evicted": {
			func(o *plan.Observation) { drainedNowhere(o, 0) },
			plan.TransferLeadership{From: "consul-0", To: "consul-1"}, reason.NodeDraining,
		},
		"drained, and nowhere to go: the only one": {
			func(o *plan.Observation) {
				drainedNowhere(o, 0)
				o.Servers, o.Spec.Replicas, o.Raft.MinQuorum = []plan.Server{o.Servers[0], o.Servers[3]}, 1, 1
			}, nil, reason.Unschedulable,
		},
		"evicted: it comes back, although a server that no node takes is current": {
			func(o *plan.Observation) {
				drainedNowhere(o, 1)
				s := &o.Servers[1]
				s.Revision, s.Pod, s.Peer, s.Member, s.Agent = "old", nil, nil, plan.MemberLeft, plan.Agent{}
			}, plan.SetRevision{Server: "consul-1"}, reason.ReplacingIdleServer,
		},
		"drained, all of them": {
			func(o *plan.Observation) {
				drainedNowhere(o, 0)
				drain(o, 1)
				drain(o, 2)
				o.Servers[3].Pod.Avoids = []string{nodeOf(0), nodeOf(1), nodeOf(2)}
			}, nil, reason.Unschedulable,
		},
		"failed: that is written down first": {
			func(o *plan.Observation) { sick(o, 1, 5*time.Minute) },
			plan.MarkFailed{Server: "consul-1"}, reason.ReplacingFailedServer,
		},
		"failed: not yet": {
			func(o *plan.Observation) { sick(o, 1, 4*time.Minute) }, nil, reason.WaitingForServer,
		},
		"failed: never, if nobody wants that": {
			func(o *plan.Observation) { sick(o, 1, time.Hour); o.Spec.ReplaceFailedAfter = 0 }, nil, reason.WaitingForServer,
		},
		"failed: no more in this hour": {
			func(o *plan.Observation) { sick(o, 1, time.Hour); o.Spec.ReplacementsLeft = 0 }, nil, reason.WaitingForServer,
		},
		"failed: no more while so many volumes of failed servers are kept": {
			func(o *plan.Observation) { sick(o, 1, time.Hour); o.FailedVolumes = kept[:5] }, nil, reason.WaitingForServer,
		},
		"failed: a server that is given up will be one of them": {
			func(o *plan.Observation) {
				fourth(o)
				sick(o, 2, time.Hour).Failed = true
				sick(o, 1, time.Hour)
				o.FailedVolumes = kept[:4]
			}, nil, reason.WaitingForServer,
		},
		"failed: some are kept": {
			func(o *plan.Observation) { sick(o, 1, time.Hour); o.FailedVolumes = kept[:4] },
			plan.MarkFailed{Server: "consul-1"}, reason.ReplacingFailedServer,
		},
		"failed: nobody is given up twice": {
			func(o *plan.Observation) { sick(o, 1, time.Hour).Failed = true },
			plan.CreateServer{Serial: 3}, reason.ReplacingFailedServer,
		},
		"failed: it does not count towards the surge": {
			func(o *plan.Observation) {
				fourth(o)
				sick(o, 3, time.Hour).Failed = true
				o.Servers[0].Revision, o.Spec.NextSerial = "old", 4
			}, plan.CreateServer{Serial: 4}, reason.ReplacingFailedServer,
		},
		"failed: retires once there is another one": {
			func(o *plan.Observation) { fourth(o); sick(o, 1, time.Hour).Failed = true },
			plan.MarkRetiring{Server: "consul-1"}, reason.RetiringServer,
		},
		"failed: nobody waits for it": {
			func(o *plan.Observation) {
				fourth(o)
				sick(o, 1, time.Hour).Failed = true
				o.Servers[3].Pod.Ready = false
			}, nil, reason.WaitingForReady,
		},
		"failed: it serves again": {
			func(o *plan.Observation) { o.Servers[1].Failed = true },
			plan.UnmarkFailed{Server: "consul-1"}, reason.KeepingServer,
		},
		"failed: it serves again while it retires": {
			func(o *plan.Observation) { fourth(o); retiring(o, 1).Failed = true },
			plan.Leave{Server: "consul-1"}, reason.Leaving,
		},
		"failed: alive, and the only one that lags": {
			func(o *plan.Observation) { lagging(o, 1) }, plan.MarkFailed{Server: "consul-1"}, reason.ReplacingFailedServer,
		},
		"failed: alive, and so are others that lag": {
			func(o *plan.Observation) { lagging(o, 1); lagging(o, 2) }, nil, reason.UnhealthyServer,
		},
		"failed: dead, beside one that lags": {
			func(o *plan.Observation) { lagging(o, 1); sick(o, 2, time.Hour) },
			plan.MarkFailed{Server: "consul-1"}, reason.ReplacingFailedServer,
		},
		"failed: a node that does not say that a pod has stopped": {
			func(o *plan.Observation) { overdue(&o.Servers[1]).Agent.Answered = false },
			plan.MarkFailed{Server: "consul-1"}, reason.ReplacingFailedServer,
		},
		"I9 nobody retires before the new one serves": {
			func(o *plan.Observation) { fourth(o); o.Servers[1].Revision = "old"; o.Servers[3].Pod.Ready = false },
			nil, reason.WaitingForReady,
		},
	})
}

// What keeps servers from running is corrected on their volumes while nobody leads. What was only interrupted keeps the revision
// that is known to work.
func TestACorrectionArrivesWithoutALeader(t *testing.T) {
	stuck := plan.Problem{Reason: reason.Unschedulable, Message: "no node has the label"}
	pending := func(s *plan.Server) { s.Pod = &plan.Pod{Revision: "r", Problem: stuck} }
	refusedPod := plan.Failure{
		Attempt: plan.AttemptOf(plan.CreatePod{Server: "consul-0"}),
		Problem: plan.Problem{Reason: reason.AdmissionDenied, Message: "no such PriorityClass"}, Since: noon, Last: noon,
	}
	for what, test := range map[string]struct {
		change func(*plan.Observation)
		step   plan.Action
	}{
		"no node takes it": {func(o *plan.Observation) { pending(&o.Servers[0]) }, plan.SetRevision{Server: "consul-0"}},
		"its pod is next": {
			func(o *plan.Observation) { pending(&o.Servers[0]); o.Servers[0].Revision = "new" },
			plan.DeletePod{Server: "consul-0"},
		},
		"it retires": {
			func(o *plan.Observation) { pending(&o.Servers[1]); o.Servers[1].Retiring = true },
			plan.SetRevision{Server: "consul-1"},
		},
		"no pod is let in": {
			func(o *plan.Observation) { o.Servers[0].Pod, o.Failures = nil, []plan.Failure{refusedPod} },
			plan.SetRevision{Server: "consul-0"},
		},
		"it was interrupted":   {func(o *plan.Observation) { o.Servers[0].Pod = &plan.Pod{Revision: "r"} }, nil},
		"it runs":              {func(*plan.Observation) {}, nil},
		"its volume goes":      {func(o *plan.Observation) { pending(&o.Servers[0]); o.Servers[0].ClaimDeleting = true }, nil},
		"the cluster is held":  {func(o *plan.Observation) { pending(&o.Servers[0]); o.Spec.Paused = true }, nil},
		"a person gives it up": {func(o *plan.Observation) { pending(&o.Servers[0]); o.Spec.AcceptedLoss = []string{"consul-0"} }, nil},
	} {
		t.Run(what, func(t *testing.T) {
			g := NewWithT(t)
			d := plan.Plan(healthy(func(o *plan.Observation) {
				o.Spec.Revision, o.Raft = "new", plan.Raft{Unknown: "nobody answers"}
				for i := range o.Servers {
					o.Servers[i].Peer, o.Servers[i].Agent = nil, plan.Agent{}
				}
				test.change(o)
			}), noon)
			if test.step == nil {
				g.Expect(d.Rule).NotTo(Equal("ReviseStopped"), d.Message)
				return
			}
			g.Expect(d.Rule).To(Equal("ReviseStopped"), d.Message)
			g.Expect(d.Step).To(Equal(test.step))
		})
	}
}

// The recovery that loses data is not offered to servers that only wait for a node, and their obstacle is said.
func TestAnObstacleIsSaid(t *testing.T) {
	g := NewWithT(t)
	d := plan.Plan(healthy(func(o *plan.Observation) {
		o.Raft = plan.Raft{Unknown: "consul-2 answering and not leading"}
		stuck := plan.Problem{Reason: reason.Unschedulable, Message: "no node has the label"}
		for i := range o.Servers[:2] {
			o.Servers[i].Agent, o.Servers[i].Pod = plan.Agent{}, &plan.Pod{Revision: "r", Problem: stuck}
		}
		peers := []plan.Peer{{ID: "consul-0", Voter: true}, {ID: "consul-1", Voter: true}, {ID: "consul-2", Voter: true}}
		o.Servers[2].Agent.Outlook = &plan.Outlook{Peers: peers}
	}), noon)
	g.Expect(d.Reason).To(Equal(reason.NoLeader))
	g.Expect(d.Message).To(Equal("no leader: consul-2 answering and not leading; consul-0: no node has the label " +
		"(a corrected spec is applied without a leader)"))
}
