package plan_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// withoutLeader is a cluster without a leader, as all of its servers see it. The voters in gone have no volume claim any
// more, and nobody hears of them.
func withoutLeader(o *plan.Observation, gone ...int) {
	o.Raft = plan.Raft{Unknown: "nobody leads", LostSince: noon.Add(-time.Minute)}
	o.Spec.Object = "consul -n default"
	outlook := plan.Outlook{}
	for _, s := range o.Servers {
		outlook.Peers = append(outlook.Peers, plan.Peer{ID: s.Peer.ID, Name: s.Peer.Name, Voter: s.Peer.Voter, Ours: true})
		outlook.Members = append(outlook.Members, plan.Member{ID: s.ID, Name: s.Name, Status: plan.MemberAlive})
	}
	for _, i := range gone {
		outlook.Members[i].Status = plan.MemberFailed
	}
	var left []plan.Server
	for i, s := range o.Servers {
		s.Peer, s.Member, s.Health, s.Agent = nil, plan.MemberAbsent, plan.HealthUnknown, plan.Agent{
			Answered: true, LastTerm: 5, LastIndex: 100, Outlook: &outlook,
		}
		pod := *s.Pod
		pod.Ready, s.Pod = false, &pod
		if !slices.Contains(gone, i) {
			left = append(left, s)
		}
	}
	o.Servers = left
}

// strangers are voters that are no servers of this cluster, and that nobody hears any more.
func strangers(o *plan.Observation, n int) {
	outlook := o.Servers[0].Agent.Outlook // all have the same one
	for i := range n {
		id := fmt.Sprintf("stranger-%d", i)
		outlook.Peers = append(outlook.Peers, plan.Peer{ID: id, Name: id, Voter: true})
		outlook.Members = append(outlook.Members, plan.Member{ID: id, Name: id, Status: plan.MemberFailed})
	}
}

// five makes a cluster of five.
func five(o *plan.Observation) {
	fourth(o)
	fifth := o.Servers[2]
	fifth.Name, fifth.ID, fifth.Serial = "consul-4", "consul-4", 4
	fifth.Peer = &plan.Peer{ID: "consul-4", Name: "consul-4", Voter: true}
	o.Servers = append(o.Servers, fifth)
}

func down(o *plan.Observation, i int) *plan.Server {
	s := &o.Servers[i]
	s.Agent = plan.Agent{}
	return s
}

func automatic(o *plan.Observation, after time.Duration) { o.Spec.RecoverAfter = &after }

// recovering is a cluster of five that has lost three, and goes on with consul-3.
func recovering(o *plan.Observation) {
	five(o)
	withoutLeader(o, 0, 1)
	down(o, 0)
	o.Spec.Recovery = &plan.Recovery{ID: "now", Survivor: "consul-3", Lost: []string{"consul-0", "consul-1", "consul-2"}}
}

// fenced is the same after consul-2, which could have come back, is out.
func fenced(o *plan.Observation) {
	recovering(o)
	o.Servers = o.Servers[1:]
}

func TestStepWhereTheQuorumIsLost(t *testing.T) {
	testSteps(t, map[string]stepTest{
		"all servers are gone with their data": {
			func(o *plan.Observation) { withoutLeader(o); o.Servers = nil }, nil, reason.QuorumLost,
		},
		"a leader is about to be elected": {
			func(o *plan.Observation) { withoutLeader(o, 0); automatic(o, 0) }, nil, reason.NoLeader,
		},
		"I7 one that left early has a quorum that never elects it": {
			func(o *plan.Observation) {
				withoutLeader(o, 2)
				automatic(o, 0)
				last := *o.Servers[1].Agent.Outlook // it and consul-2 went on without consul-0
				last.Peers = last.Peers[1:]
				o.Servers[1].Agent.Outlook, o.Servers[1].Agent.LastIndex = &last, 110
			}, plan.BeginRecovery{Survivor: "consul-1", Lost: []string{"consul-2"}}, reason.RecoveringQuorum,
		},
		"a leader is about to be elected: an acceptance of a loss changes nothing": {
			func(o *plan.Observation) { withoutLeader(o, 0); o.Spec.AcceptedLoss = []string{"consul-0"} }, nil, reason.NoLeader,
		},
		"I8 two are down, and may come back": {
			func(o *plan.Observation) { withoutLeader(o); down(o, 0); down(o, 1); automatic(o, 0) }, nil, reason.NoLeader,
		},
		"I8 two are stuck: a person may give them up": {
			func(o *plan.Observation) {
				withoutLeader(o)
				down(o, 0).Pod.Problem = plan.Problem{Reason: reason.Unschedulable, Message: "no node"}
				overdue(down(o, 1))
				automatic(o, 0)
			}, nil, reason.NoLeader,
		},
		"I8 nobody who answers is to be left out of the count": {
			func(o *plan.Observation) { withoutLeader(o, 0, 1); automatic(o, 0); o.Servers[0].Agent.Outlook = nil },
			nil, reason.NoLeader,
		},
		"I8 one that has never joined knows nothing": {
			func(o *plan.Observation) {
				withoutLeader(o)
				o.Servers = o.Servers[:1]
				o.Servers[0].Agent.Outlook = &plan.Outlook{}
			},
			nil, reason.NoLeader,
		},
		"I8 one without a claim is alive all the same": {
			func(o *plan.Observation) {
				withoutLeader(o, 0, 1)
				o.Servers[0].Agent.Outlook.Members[1].Status = plan.MemberAlive
				automatic(o, 0)
			}, nil, reason.NoLeader,
		},
		"lost for good: a person decides": {
			func(o *plan.Observation) { withoutLeader(o, 0, 1) }, nil, reason.QuorumLost,
		},
		"lost for good: not while the cluster is paused": {
			func(o *plan.Observation) {
				withoutLeader(o, 0, 1)
				automatic(o, 0)
				o.Spec.Paused, o.Spec.AcceptedLoss = true, []string{"consul-0", "consul-1"}
			}, nil, reason.QuorumLost,
		},
		"lost for good: a person says so": {
			func(o *plan.Observation) {
				withoutLeader(o, 0, 1)
				o.Spec.AcceptedLoss = []string{"consul-1", "consul-0"}
			},
			plan.BeginRecovery{Survivor: "consul-2", Lost: []string{"consul-0", "consul-1"}}, reason.RecoveringQuorum,
		},
		"lost for good: a person means others": {
			func(o *plan.Observation) { withoutLeader(o, 0, 1); o.Spec.AcceptedLoss = []string{"consul-0"} }, nil, reason.QuorumLost,
		},
		"stuck: a person gives them up": {
			func(o *plan.Observation) {
				withoutLeader(o)
				down(o, 0)
				down(o, 1)
				o.Spec.AcceptedLoss = []string{"consul-0", "consul-1"}
			}, plan.BeginRecovery{Survivor: "consul-2", Lost: []string{"consul-0", "consul-1"}}, reason.RecoveringQuorum,
		},
		"lost for good: automatic, not yet": {
			func(o *plan.Observation) { withoutLeader(o, 0, 1); automatic(o, 2*time.Minute) }, nil, reason.RecoveringQuorum,
		},
		"lost for good: automatic": {
			func(o *plan.Observation) { withoutLeader(o, 0, 1); automatic(o, time.Minute) },
			plan.BeginRecovery{Survivor: "consul-2", Lost: []string{"consul-0", "consul-1"}}, reason.RecoveringQuorum,
		},
		"I8 voters that were never ours may have a leader": {
			func(o *plan.Observation) { withoutLeader(o); strangers(o, 4); automatic(o, 0) }, nil, reason.QuorumLost,
		},
		"I8 voters that were never ours are not lost with those that were": {
			func(o *plan.Observation) { five(o); withoutLeader(o, 0, 1); strangers(o, 2); automatic(o, 0) }, nil, reason.QuorumLost,
		},
		"voters that were never ours: a leader is elected without them": {
			func(o *plan.Observation) { withoutLeader(o); strangers(o, 2); automatic(o, 0) }, nil, reason.NoLeader,
		},
		"voters that were never ours, and one of ours is down": {
			func(o *plan.Observation) { five(o); withoutLeader(o); strangers(o, 4); down(o, 0); automatic(o, 0) }, nil, reason.NoLeader,
		},
		"voters that were never ours: a person gives them up": {
			func(o *plan.Observation) {
				withoutLeader(o)
				strangers(o, 4)
				o.Spec.AcceptedLoss = []string{"stranger-0", "stranger-1", "stranger-2", "stranger-3"}
			},
			plan.BeginRecovery{
				Survivor: "consul-0", Lost: []string{"stranger-0", "stranger-1", "stranger-2", "stranger-3"},
			}, reason.RecoveringQuorum,
		},
		"I8 lost for good: one that is down may have seen more": {
			func(o *plan.Observation) { five(o); withoutLeader(o, 0, 1, 2); down(o, 0); automatic(o, 0) }, nil, reason.QuorumLost,
		},
		"I8 the newest log wins: its term": {
			func(o *plan.Observation) {
				five(o)
				withoutLeader(o, 0, 1, 2)
				o.Servers[0].Agent.LastIndex, o.Servers[1].Agent.LastTerm = 200, 6
				automatic(o, 0)
			}, plan.BeginRecovery{Survivor: "consul-4", Lost: []string{"consul-0", "consul-1", "consul-2"}}, reason.RecoveringQuorum,
		},
		"I8 the newest log wins: its index": {
			func(o *plan.Observation) {
				five(o)
				withoutLeader(o, 0, 1, 2)
				o.Servers[1].Agent.LastIndex = 101
				automatic(o, 0)
			}, plan.BeginRecovery{Survivor: "consul-4", Lost: []string{"consul-0", "consul-1", "consul-2"}}, reason.RecoveringQuorum,
		},
		"recovery: who is given up must not come back": {
			recovering, plan.DeletePod{Server: "consul-2"}, reason.RecoveringQuorum,
		},
		"recovery: who is given up stops first": {
			func(o *plan.Observation) {
				recovering(o)
				o.Servers[0].Pod.Terminating, o.Servers[0].Pod.StopBy = true, noon
			},
			nil, reason.RecoveringQuorum,
		},
		"recovery: the volume of who is given up is set aside": {
			func(o *plan.Observation) { recovering(o); o.Servers[0].Pod = nil },
			plan.QuarantineClaim{Server: "consul-2"}, reason.RecoveringQuorum,
		},
		"recovery: a node that is dead does not say that a pod has stopped": {
			func(o *plan.Observation) { recovering(o); overdue(&o.Servers[0]) },
			plan.QuarantineClaim{Server: "consul-2"}, reason.RecoveringQuorum,
		},
		"recovery: the others save their data": {
			fenced, plan.DeletePod{Server: "consul-4"}, reason.RecoveringQuorum,
		},
		"recovery: the others stop before the survivor does": {
			func(o *plan.Observation) {
				fenced(o)
				o.Servers[1].Pod.Terminating, o.Servers[1].Pod.StopBy = true, noon
			},
			nil, reason.RecoveringQuorum,
		},
		"recovery: a node whose kubelet is dead, and the server runs on": {
			func(o *plan.Observation) { fenced(o); overdue(&o.Servers[1]) }, nil, reason.RecoveringQuorum,
		},
		"recovery: the survivor comes last": {
			func(o *plan.Observation) { fenced(o); o.Servers[1].Pod.Recovery = "now" },
			plan.DeletePod{Server: "consul-3"}, reason.RecoveringQuorum,
		},
		"recovery: the survivor starts": {
			func(o *plan.Observation) { fenced(o); o.Servers[0].Pod, o.Servers[1].Pod.Recovery = nil, "now" },
			nil, reason.WaitingForServer,
		},
		"recovery: the survivor is about to lead": {
			func(o *plan.Observation) {
				fenced(o)
				o.Servers[0].Pod.Recovery, o.Servers[1].Pod.Recovery = "now", "now"
			},
			nil, reason.RecoveringQuorum,
		},
		"recovery: the survivor is gone": {
			func(o *plan.Observation) { fenced(o); o.Servers = o.Servers[1:] },
			plan.CancelRecovery{Because: "consul-3, which was to carry on, is gone"}, reason.RecoveringQuorum,
		},
		"recovery: who was given up is back": {
			func(o *plan.Observation) { recovering(o); o.Servers[0].Agent.Answered = true },
			plan.CancelRecovery{Because: "consul-2, which was given up, is back"}, reason.RecoveringQuorum,
		},
		"recovery: a leader who needs the vote of one that stops is none to count on": {
			func(o *plan.Observation) {
				o.Spec.Recovery = &plan.Recovery{ID: "now", Survivor: "consul-0", Lost: []string{"consul-1", "consul-2"}}
				o.Servers[1].Pod.Terminating, o.Servers[1].Pod.StopBy = true, noon
			}, nil, reason.RecoveringQuorum,
		},
		"recovery: a leader leads": {
			func(o *plan.Observation) { o.Spec.Recovery = &plan.Recovery{ID: "now", Survivor: "consul-0"} },
			plan.FinishRecovery{Because: "consul-0 leads: there is a quorum"}, reason.RecoveringQuorum,
		},
		"the acceptance of a loss is not kept for another time": {
			func(o *plan.Observation) { o.Spec.AcceptedLoss = []string{"consul-1"} },
			plan.FinishRecovery{Because: "consul-0 leads, and no server has to be given up"}, reason.RecoveringQuorum,
		},
	})
}

func TestWhatAPersonIsToldOfALostQuorum(t *testing.T) {
	for name, test := range map[string]struct {
		change func(o *plan.Observation)
		says   string
	}{
		"the command": {
			func(o *plan.Observation) { withoutLeader(o, 0, 1) },
			"the quorum is lost for good with the volumes of consul-0, consul-1; to carry on with the data of consul-2: " +
				"kubectl annotate consulcluster consul -n default --overwrite consuloperator.io/accept-loss-of=consul-0,consul-1",
		},
		"who was never ours": {
			func(o *plan.Observation) { withoutLeader(o, 0); strangers(o, 2); automatic(o, 0) },
			"there is no quorum without the voters stranger-0, stranger-1, which are no servers of this cluster and which none of " +
				"ours hears: they may have a leader of their own, and go on; connect them again, or, if you know that they never come " +
				"back, carry on with the data of consul-1: kubectl annotate consulcluster consul -n default --overwrite " +
				"consuloperator.io/accept-loss-of=consul-0,stranger-0,stranger-1",
		},
		"who was never ours, and was removed since": {
			func(o *plan.Observation) {
				five(o)
				withoutLeader(o, 0, 1, 2)
				behind := *o.Servers[1].Agent.Outlook
				behind.Peers = append([]plan.Peer{{ID: "before", Name: "before", Voter: true}}, behind.Peers[:3]...)
				o.Servers[1].Agent.Outlook, o.Servers[1].Agent.LastIndex = &behind, 50
			},
			"the quorum is lost for good with the volumes of consul-0, consul-1, consul-2; to carry on with the data of consul-3: " +
				"kubectl annotate consulcluster consul -n default --overwrite " +
				"consuloperator.io/accept-loss-of=consul-0,consul-1,consul-2",
		},
		"when it is recovered": {
			func(o *plan.Observation) { withoutLeader(o, 0, 1); automatic(o, 2*time.Minute) },
			"the quorum is lost for good with the volumes of consul-0, consul-1; consul-2 carries on alone at 12:01:00 UTC",
		},
		"who may know more": {
			func(o *plan.Observation) {
				five(o)
				withoutLeader(o, 0, 1, 2)
				down(o, 0).Pod.Problem = plan.Problem{Reason: reason.Unschedulable, Message: "no node"}
			},
			"the quorum is lost for good with the volumes of consul-0, consul-1, consul-2; consul-3 may have more than consul-4 has: " +
				"bring it back, or give it up too: kubectl annotate consulcluster consul -n default --overwrite " +
				"consuloperator.io/accept-loss-of=consul-0,consul-1,consul-2,consul-3",
		},
		"who is asked": {
			func(o *plan.Observation) { five(o); withoutLeader(o, 0, 1, 2); down(o, 0) },
			"the quorum is lost for good with the volumes of consul-0, consul-1, consul-2; the next step waits until consul-3 can say " +
				"what it has, which may be more than consul-4 has",
		},
		"nobody who has left long ago": {
			func(o *plan.Observation) {
				five(o)
				withoutLeader(o, 0, 1, 2)
				behind := *o.Servers[1].Agent.Outlook
				behind.Peers = append([]plan.Peer{{ID: "before", Name: "before", Voter: true, Ours: true}}, behind.Peers[:3]...)
				o.Servers[1].Agent.Outlook, o.Servers[1].Agent.LastIndex = &behind, 50
			},
			"the quorum is lost for good with the volumes of consul-0, consul-1, consul-2; to carry on with the data of consul-3: " +
				"kubectl annotate consulcluster consul -n default --overwrite " +
				"consuloperator.io/accept-loss-of=consul-0,consul-1,consul-2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if d := plan.Plan(healthy(test.change), noon); d.Message != test.says {
				t.Errorf("said    %s\nwanted  %s", d.Message, test.says)
			}
		})
	}
}

func TestWhoIsGivenUpIsNotStartedAgain(t *testing.T) {
	for _, action := range plan.Plan(healthy(func(o *plan.Observation) {
		recovering(o)
		o.Servers[0].Pod, o.Servers[1].Pod = nil, nil
	}), noon).Upkeep {
		if pod, is := action.(plan.CreatePod); is && pod.Server == "consul-2" {
			t.Error("consul-2 is given up and started again")
		}
	}
}
