package plan_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// healthy is a cluster of three servers in which nothing is to do; change makes it another one.
func healthy(change func(o *plan.Observation)) plan.Observation {
	o := plan.Observation{
		Spec: plan.Spec{
			Replicas: 3, MaxSurge: 1, Revision: "r", Bootstrapped: true, NextSerial: 3, LeaderStableFor: 10 * time.Second,
			ReplaceFailedAfter: 5 * time.Minute, ReplacementsLeft: 1,
		},
		NodesKnown: true,
		Raft:       plan.Raft{Known: true, Leader: "consul-0", Term: 2, LeaderSince: noon.Add(-time.Hour), MinQuorum: 3},
	}
	for serial, name := range []string{"consul-0", "consul-1", "consul-2"} {
		o.Servers = append(o.Servers, plan.Server{
			Name: name, Serial: serial, ID: name, Revision: "r", Peer: &plan.Peer{ID: name, Name: name, Voter: true},
			Pod:   &plan.Pod{Revision: "r", Running: true, Ready: true, Serving: true},
			Agent: plan.Agent{Answered: true, Version: "1.22.7"}, Wrote: "1.22.7",
			Member: plan.MemberAlive, Health: plan.HealthHealthy, Routed: true,
		})
	}
	change(&o)
	if o.MinAvailable == nil { // nobody may be evicted
		o.MinAvailable = new(o.AllPods())
	}
	if o.Raft.Known && o.Raft.Peers == nil {
		for _, s := range o.Servers {
			if s.Peer != nil {
				o.Raft.Peers = append(o.Raft.Peers, *s.Peer)
			}
		}
	}
	return o
}

// retiring marks a server and takes it out of the Service.
func retiring(o *plan.Observation, i int) *plan.Server {
	s := &o.Servers[i]
	s.Retiring, s.Routed, s.Pod.Serving, s.Pod.Ready = true, false, false, false
	s.Revision = "old"
	return s
}

// fourth adds a healthy voter of the wanted revision, so that an old one can go.
func fourth(o *plan.Observation) {
	s := o.Servers[2]
	s.Name, s.ID, s.Serial, s.Peer = "consul-3", "consul-3", 3, &plan.Peer{ID: "consul-3", Name: "consul-3", Voter: true}
	o.Servers = append(o.Servers, s)
}

func stray(o *plan.Observation, status plan.MemberStatus) {
	for _, s := range o.Servers {
		o.Raft.Peers = append(o.Raft.Peers, *s.Peer)
	}
	o.Raft.Peers = append(o.Raft.Peers, plan.Peer{ID: "x", Name: "gone", Voter: true})
	if status != plan.MemberAbsent {
		o.Raft.Members = append(o.Raft.Members, plan.Member{ID: "x", Name: "gone", Status: status})
	}
}

// stepTest is what is to be done in an observation, and why.
type stepTest struct {
	change func(o *plan.Observation)
	step   plan.Action
	reason reason.Reason
}

func testSteps(t *testing.T, tests map[string]stepTest) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o := healthy(test.change)
			d := plan.Plan(o, noon)
			if test.step == nil {
				g.Expect(d.Step).To(BeNil(), d.Message)
			} else {
				g.Expect(d.Step).To(Equal(test.step), d.Message)
			}
			g.Expect(d.Reason).To(Equal(test.reason), d.Message)
			g.Expect(d.Done).To(Equal(test.reason == reason.Healthy))
			g.Expect(plan.Plan(o, noon)).To(Equal(d), "the same observation gives the same decision")
		})
	}
}

func TestStep(t *testing.T) {
	testSteps(t, map[string]stepTest{
		"nothing to do": {func(*plan.Observation) {}, nil, reason.Healthy},
		"a record that is damaged stops everything": {
			func(o *plan.Observation) {
				o.Damaged, o.Servers[0].Pod, o.Spec.Revision = &plan.Problem{Reason: reason.DamagedRecord}, nil, "new"
			}, nil, reason.DamagedRecord,
		},
		"unknown is not dead: no leader, no step": {
			func(o *plan.Observation) { o.Raft = plan.Raft{Unknown: "x"}; o.Spec.Revision = "new" }, nil, reason.NoLeader,
		},
		"the first leader is recorded": {
			func(o *plan.Observation) { o.Spec.Bootstrapped = false }, plan.RecordBootstrapped{}, reason.Bootstrapping,
		},
		"founders expect the same number whatever the spec says by now": {
			func(o *plan.Observation) {
				o.Spec.Bootstrapped, o.Spec.Replicas, o.Raft = false, 5, plan.Raft{}
				o.Servers = o.Servers[:2]
				o.Servers[0].BootstrapExpect, o.Spec.NextSerial = 3, 2
			}, plan.CreateServer{Serial: 2, BootstrapExpect: 3}, reason.Bootstrapping,
		},
		"a paused cluster is not founded": {
			func(o *plan.Observation) {
				o.Spec.Bootstrapped, o.Spec.Paused, o.Raft, o.Servers = false, true, plan.Raft{}, nil
			}, nil, reason.Paused,
		},
		"no server is founded that could join a former cluster of this name": {
			func(o *plan.Observation) {
				o.Spec.Bootstrapped, o.Former, o.Raft, o.Servers = false, []string{"consul-7"}, plan.Raft{}, nil
			}, nil, reason.FormerClusterStopping,
		},
		"nor one that could join what a former cluster left behind for good: a person has to stop it": {
			func(o *plan.Observation) {
				o.Spec.Bootstrapped, o.Former, o.Raft, o.Servers = false, []string{"consul-6", "consul-7"}, plan.Raft{}, nil
				o.LeftBehind = o.Former[1:]
			}, nil, reason.NameTaken,
		},
		"founders that run are about to elect": {
			func(o *plan.Observation) { o.Spec.Bootstrapped, o.Raft = false, plan.Raft{} }, nil, reason.Bootstrapping,
		},
		"I4 a stray that failed is forgotten by Serf first": {
			func(o *plan.Observation) { stray(o, plan.MemberFailed) }, plan.ForceLeave{Node: "gone"}, reason.PruningDeadPeer,
		},
		"I4 a stray that left is removed from Raft": {
			func(o *plan.Observation) { stray(o, plan.MemberLeft) }, plan.RemovePeer{ID: "x", Name: "gone"}, reason.PruningDeadPeer,
		},
		"I4 a stray that Serf does not know is removed from Raft": {
			func(o *plan.Observation) { stray(o, plan.MemberAbsent) }, plan.RemovePeer{ID: "x", Name: "gone"}, reason.PruningDeadPeer,
		},
		"I4 a stray that is alive is never touched": {
			func(o *plan.Observation) { stray(o, plan.MemberAlive) }, nil, reason.StrayPeer,
		},
		"I4 a stray that is leaving is never touched": {
			func(o *plan.Observation) { stray(o, plan.MemberLeaving) }, nil, reason.StrayPeer,
		},
		"a dead member without a vote is forgotten": {
			func(o *plan.Observation) {
				o.Raft.Members = []plan.Member{{ID: "x", Name: "gone", Status: plan.MemberFailed}}
			}, plan.ForceLeave{Node: "gone"}, reason.PruningDeadPeer,
		},
		"paused": {
			func(o *plan.Observation) { o.Spec.Paused, o.Spec.Revision = true, "new" }, nil, reason.Paused,
		},
		"a spec that cannot be honored leaves the servers alone": {
			func(o *plan.Observation) { o.Spec.Invalid, o.Spec.Revision = &plan.Problem{Reason: "Bad"}, "new" }, nil, "Bad",
		},
		"nothing voluntary under a new leader": {
			func(o *plan.Observation) { o.Raft.LeaderSince, o.Spec.Revision = noon, "new" }, nil, reason.LeaderNotStable,
		},
		"an upgrade adds a server first": {
			func(o *plan.Observation) { o.Spec.Revision = "new" }, plan.CreateServer{Serial: 3}, reason.CreatingServer,
		},
		"I2 no server goes while its replacement has no vote": {
			func(o *plan.Observation) {
				fourth(o)
				o.Servers[3].Peer.Voter = false
				o.Servers[1].Revision = "old"
			}, nil, reason.WaitingForVoter,
		},
		"I3 followers go before the leader": {
			func(o *plan.Observation) {
				fourth(o)
				o.Servers[0].Revision, o.Servers[2].Revision = "old", "old"
			}, plan.MarkRetiring{Server: "consul-2"}, reason.RetiringServer,
		},
		"I3 of servers too many the newest goes, unless it leads": {
			func(o *plan.Observation) { fourth(o); o.Raft.Leader = "consul-3" },
			plan.MarkRetiring{Server: "consul-2"}, reason.RetiringServer,
		},
		"I1 nobody goes while strays that are alive raise the quorum": {
			func(o *plan.Observation) {
				fourth(o)
				for _, s := range o.Servers {
					o.Raft.Peers = append(o.Raft.Peers, *s.Peer)
				}
				for _, id := range []string{"x", "y", "z"} {
					o.Raft.Peers = append(o.Raft.Peers, plan.Peer{ID: id, Voter: true})
					o.Raft.Members = append(o.Raft.Members, plan.Member{ID: id, Status: plan.MemberAlive})
				}
			}, nil, reason.NotEnoughHealthyVoters,
		},
		"a server whose pod is older than its claim is outdated": {
			func(o *plan.Observation) { fourth(o); o.Servers[1].Pod.Revision = "old" },
			plan.MarkRetiring{Server: "consul-1"}, reason.RetiringServer,
		},
		"a claim that was deleted makes its server retire": {
			func(o *plan.Observation) { fourth(o); o.Servers[1].ClaimDeleting = true },
			plan.MarkRetiring{Server: "consul-1"}, reason.RetiringServer,
		},
		"I1 a sick voter counts against going": {
			func(o *plan.Observation) {
				fourth(o)
				o.Servers[1].Revision = "old"
				o.Servers[2].Health = plan.HealthUnhealthy
			}, nil, reason.UnhealthyServer,
		},
		"retiring: still routed": {
			func(o *plan.Observation) { fourth(o); retiring(o, 1).Routed = true }, nil, reason.WaitingForEndpoints,
		},
		"retiring: nodes learn of it later": {
			func(o *plan.Observation) { fourth(o); retiring(o, 1).Pod.ServingFrom = noon }, nil, reason.WaitingForEndpoints,
		},
		"retiring: leave": {
			func(o *plan.Observation) { fourth(o); retiring(o, 1) }, plan.Leave{Server: "consul-1"}, reason.Leaving,
		},
		"I1 retiring: it stays when too few would be left": {
			func(o *plan.Observation) { retiring(o, 1) }, plan.UnmarkRetiring{Server: "consul-1"}, reason.KeepingServer,
		},
		"I1 retiring: under a new leader nobody is called healthy for a moment": {
			func(o *plan.Observation) { retiring(o, 1); o.Raft.LeaderSince = noon }, nil, reason.NotEnoughHealthyVoters,
		},
		"I3 retiring: a leader whom nobody can follow stays": {
			func(o *plan.Observation) {
				s := retiring(o, 0)
				s.Peer.Voter = false // as far as it knows
				for i := range o.Servers {
					o.Servers[i].Health = plan.HealthUnhealthy
				}
			}, plan.UnmarkRetiring{Server: "consul-0"}, reason.KeepingServer,
		},
		"I3 a leader is not chosen while nobody can follow": {
			func(o *plan.Observation) {
				o.Spec.Replicas, o.Raft.MinQuorum, o.Servers = 1, 1, o.Servers[:2]
				o.Servers[0].Revision, o.Servers[1].Peer.Voter = "old", false
			}, nil, reason.WaitingForVoter,
		},
		"I1 retiring: one that does not answer for once is no reason to start over": {
			func(o *plan.Observation) { fourth(o); retiring(o, 1); o.Servers[2].Agent.Answered = false },
			nil, reason.NotEnoughHealthyVoters,
		},
		"I9 retiring: a voter whose pod does not run is not there": {
			func(o *plan.Observation) {
				fourth(o)
				retiring(o, 1)
				o.Servers[2].Pod.Running, o.Servers[2].Agent.Answered = false, false
			},
			plan.UnmarkRetiring{Server: "consul-1"}, reason.KeepingServer,
		},
		"I4 retiring: a process has outlived its pod and never joined Raft": {
			func(o *plan.Observation) {
				fourth(o)
				s := retiring(o, 1)
				s.Pod, s.Peer, s.Agent.Answered = nil, nil, false
			}, nil, reason.RemovingServer,
		},
		"I3 retiring: leadership that came back is not handed over again at once": {
			func(o *plan.Observation) { fourth(o); retiring(o, 0); o.Raft.LeaderSince = noon }, nil, reason.LeaderNotStable,
		},
		"retiring: dead, and its vote is needed back": {
			func(o *plan.Observation) {
				s := retiring(o, 1)
				s.Member, s.Agent.Answered = plan.MemberFailed, false
			}, plan.UnmarkRetiring{Server: "consul-1"}, reason.KeepingServer,
		},
		"retiring: dead, and nobody needs it": {
			func(o *plan.Observation) {
				fourth(o)
				s := retiring(o, 1)
				s.Member, s.Agent.Answered = plan.MemberFailed, false
			}, plan.DeletePod{Server: "consul-1"}, reason.RemovingServer,
		},
		"retiring: alive, and the new leader's Serf has not met it": {
			func(o *plan.Observation) { fourth(o); retiring(o, 1).Member = plan.MemberAbsent }, nil, reason.UnhealthyServer,
		},
		"retiring: back before Serf noticed": {
			func(o *plan.Observation) { fourth(o); retiring(o, 1).Member = plan.MemberFailed }, nil, reason.UnhealthyServer,
		},
		"I3 retiring: the leader hands over first, to the newest current voter": {
			func(o *plan.Observation) { fourth(o); retiring(o, 0) },
			plan.TransferLeadership{From: "consul-0", To: "consul-3"}, reason.TransferringLeadership,
		},
		"I3 the successor has the longest log": {
			func(o *plan.Observation) { fourth(o); retiring(o, 0); o.Servers[1].Agent.LastIndex = 9 },
			plan.TransferLeadership{From: "consul-0", To: "consul-1"}, reason.TransferringLeadership,
		},
		"retiring: an agent that does not answer is stopped": {
			func(o *plan.Observation) { fourth(o); retiring(o, 1).Agent.Answered = false },
			plan.DeletePod{Server: "consul-1"}, reason.Leaving,
		},
		"retiring: wanted after all": {
			func(o *plan.Observation) { retiring(o, 1).Revision = "r" },
			plan.UnmarkRetiring{Server: "consul-1"}, reason.KeepingServer,
		},
		"retiring: paused before it left": {
			func(o *plan.Observation) { fourth(o); retiring(o, 1); o.Spec.Paused = true }, nil, reason.Paused,
		},
		"retiring: leaving": {
			func(o *plan.Observation) { fourth(o); retiring(o, 1).Member = plan.MemberLeaving }, nil, reason.Leaving,
		},
		"retiring: its pod goes when it has left": {
			func(o *plan.Observation) {
				fourth(o)
				s := retiring(o, 1)
				s.Member, s.Peer = plan.MemberLeft, nil
			}, plan.DeletePod{Server: "consul-1"}, reason.RemovingServer,
		},
		"retiring: its pod is stopping": {
			func(o *plan.Observation) {
				fourth(o)
				s := retiring(o, 1)
				s.Pod.Terminating, s.Pod.StopBy, s.Member = true, noon.Add(time.Second), plan.MemberLeft
			}, nil, reason.RemovingServer,
		},
		"retiring: its pod should have stopped by now": {
			func(o *plan.Observation) {
				fourth(o)
				s := retiring(o, 1)
				s.Pod.Terminating, s.Pod.StopBy, s.Agent.Answered = true, noon.Add(-40*time.Second), false
			}, nil, reason.RemovingServer,
		},
		"I4 retiring: no claim goes while Serf calls the peer alive": {
			func(o *plan.Observation) { fourth(o); retiring(o, 1).Pod = nil }, nil, reason.RemovingServer,
		},
		"I4 retiring: a dead peer is removed before its claim": {
			func(o *plan.Observation) {
				fourth(o)
				s := retiring(o, 1)
				s.Pod, s.Member = nil, plan.MemberFailed
			}, plan.ForceLeave{Node: "consul-1"}, reason.PruningDeadPeer,
		},
		"retiring: the claim goes last": {
			func(o *plan.Observation) {
				fourth(o)
				s := retiring(o, 1)
				s.Pod, s.Member, s.Peer = nil, plan.MemberLeft, nil
			}, plan.ReleaseClaim{Server: "consul-1"}, reason.RemovingServer,
		},
		"retiring: and is deleted once": {
			func(o *plan.Observation) {
				fourth(o)
				s := retiring(o, 1)
				s.Pod, s.Member, s.Peer, s.ClaimDeleting = nil, plan.MemberLeft, nil, true
			}, nil, reason.RemovingServer,
		},
		"a server that never joined is replaced in place": {
			func(o *plan.Observation) {
				o.Spec.Revision = "new"
				s := &o.Servers[2]
				s.Peer, s.Member, s.Agent.Answered = nil, plan.MemberAbsent, false
			}, plan.DeletePod{Server: "consul-2"}, reason.ReplacingIdleServer,
		},
		"and gets the wanted revision when its pod is gone": {
			func(o *plan.Observation) {
				o.Spec.Revision = "new"
				s := &o.Servers[2]
				s.Peer, s.Member, s.Pod, s.Agent.Answered = nil, plan.MemberAbsent, nil, false
			}, plan.SetRevision{Server: "consul-2"}, reason.ReplacingIdleServer,
		},
		"a pod that is older than its claim is replaced": {
			func(o *plan.Observation) {
				s := &o.Servers[2]
				s.Peer, s.Member, s.Pod.Revision = nil, plan.MemberAbsent, "old"
				o.Servers[1].Revision, o.Servers[0].Revision = "old", "old"
			}, plan.DeletePod{Server: "consul-2"}, reason.ReplacingIdleServer,
		},
		"what does not start is named": {
			func(o *plan.Observation) {
				o.Servers[2].Pod.Problem = plan.Problem{Reason: reason.ServerCannotStart, Message: "x"}
			}, nil, reason.ServerCannotStart,
		},
		"a process that starts": {
			func(o *plan.Observation) { o.Servers[2].Pod.Running = false }, nil, reason.WaitingForServer,
		},
		"an agent that is silent": {
			func(o *plan.Observation) { o.Servers[2].Agent.Answered = false }, nil, reason.WaitingForServer,
		},
		"a server that has not joined": {
			func(o *plan.Observation) { o.Servers[2].Peer = nil }, nil, reason.WaitingForVoter,
		},
		"a voter that Serf does not know": {
			func(o *plan.Observation) { o.Servers[2].Member = plan.MemberAbsent }, nil, reason.UnhealthyServer,
		},
		"a voter that is not ready": {
			func(o *plan.Observation) { o.Servers[2].Pod.Ready = false }, nil, reason.WaitingForReady,
		},
		"a transfer: the target is named first": {
			func(o *plan.Observation) { o.Spec.Transfer = &plan.TransferRequest{} },
			plan.NameTransferTarget{To: "consul-2"}, reason.LeadershipTransferRequested,
		},
		"a transfer: nobody is healthy now": {
			func(o *plan.Observation) {
				o.Spec.Transfer, o.Servers[1].Health, o.Servers[2].Health = &plan.TransferRequest{}, plan.HealthUnhealthy, ""
			}, nil, reason.LeadershipTransferRequested,
		},
		"a transfer that waits holds up nothing else": {
			func(o *plan.Observation) { o.Servers, o.Spec.Transfer = o.Servers[:1], &plan.TransferRequest{} },
			plan.CreateServer{Serial: 3}, reason.CreatingServer,
		},
		"a transfer in a cluster of one server": {
			func(o *plan.Observation) {
				o.Spec.Replicas, o.Servers, o.Spec.Transfer = 1, o.Servers[:1], &plan.TransferRequest{}
			}, plan.FinishTransfer{Because: "consul-0 is the only server, there is nobody to hand leadership to"},
			reason.LeadershipTransferRequested,
		},
		"a transfer to a healthy voter": {
			func(o *plan.Observation) { o.Spec.Transfer = &plan.TransferRequest{To: "consul-1"} },
			plan.TransferLeadership{From: "consul-0", To: "consul-1"}, reason.LeadershipTransferRequested,
		},
		"a transfer never goes to a server without a vote": {
			func(o *plan.Observation) {
				o.Spec.Transfer = &plan.TransferRequest{To: "consul-1"}
				o.Servers[1].Peer.Voter = false
			}, nil, reason.LeadershipTransferRequested,
		},
		"a transfer waits for a leader that has led for a while": {
			func(o *plan.Observation) {
				o.Spec.Transfer, o.Raft.LeaderSince = &plan.TransferRequest{To: "consul-1"}, noon
			}, nil, reason.LeaderNotStable,
		},
		"a transfer that is done": {
			func(o *plan.Observation) { o.Spec.Transfer = &plan.TransferRequest{To: "consul-0"} },
			plan.FinishTransfer{Because: "consul-0 leads, as requested"}, reason.LeadershipTransferRequested,
		},
		"a transfer to nobody": {
			func(o *plan.Observation) { o.Spec.Transfer = &plan.TransferRequest{To: "x"} },
			plan.FinishTransfer{Because: "there is no server x to hand leadership to"}, reason.LeadershipTransferRequested,
		},
	})
}

// Nobody tells the operator when a server becomes a voter, and the status is true also of a cluster that is left as it is.
func TestAPausedClusterIsLookedAtWhileAServerIsOnItsWay(t *testing.T) {
	g := NewWithT(t)
	for _, held := range []func(o *plan.Observation){
		func(o *plan.Observation) { o.Spec.Paused = true },
		func(o *plan.Observation) { o.Spec.Invalid = &plan.Problem{Reason: "Bad"} },
	} {
		g.Expect(plan.Plan(healthy(held), noon).RequeueAfter).To(BeZero())
		joining := func(o *plan.Observation) { held(o); fourth(o); o.Servers[3].Peer.Voter = false }
		g.Expect(plan.Plan(healthy(joining), noon).RequeueAfter).NotTo(BeZero())
	}
}

// A server that is on its way becomes a voter while a record is damaged, and users see it.
func TestADamagedRecordDoesNotEndObservation(t *testing.T) {
	o := healthy(func(o *plan.Observation) {
		o.Damaged, o.Servers[2].Peer.Voter = &plan.Problem{Reason: reason.DamagedRecord}, false
	})
	NewWithT(t).Expect(plan.Plan(o, noon).RequeueAfter).To(Equal(time.Second))
}

// A catalog that was not told is asked for again, for people.
func TestAnUnansweredCatalogIsAskedForAgain(t *testing.T) {
	o := healthy(func(o *plan.Observation) { o.Raft.CatalogUnanswered = true })
	NewWithT(t).Expect(plan.Plan(o, noon).RequeueAfter).To(Equal(10 * time.Second))
	o.Raft.CatalogUnanswered = false
	NewWithT(t).Expect(plan.Plan(o, noon).RequeueAfter).To(BeZero())
}

// A decision names its rule, and a voluntary rule waits for a stable leader under its own name.
func TestADecisionNamesItsRule(t *testing.T) {
	g := NewWithT(t)
	o := healthy(func(o *plan.Observation) { o.Spec.Revision = "new" })
	g.Expect(plan.Plan(o, noon).Rule).To(Equal("Create"))
	o.Raft.LeaderSince = noon
	d := plan.Plan(o, noon)
	g.Expect(d.Rule).To(Equal("Create"))
	g.Expect(d.Step).To(BeNil())
	g.Expect(d.Reason).To(Equal(reason.LeaderNotStable))
	g.Expect(plan.Plan(healthy(func(*plan.Observation) {}), noon).Rule).To(BeEmpty())
}
