package plan_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// foundedInPlace is a world with a cluster that is up and whose servers are updated in place.
func foundedInPlace(t *testing.T, replicas int) *world {
	w := founded(t, replicas, 1)
	w.spec.InPlace = true
	return w
}

// leftInPlace waits until a server has left to be updated.
func (w *world) leftInPlace() bool {
	for _, s := range w.servers {
		if s.InPlace && s.Pod == nil {
			return true
		}
	}
	return false
}

// inPlaceAgain asserts that the servers are the ones that there were, and run what is wanted.
func inPlaceAgain(t *testing.T, w *world, transfers int) *world {
	t.Helper()
	g := NewWithT(t)
	expectTransfers(t, w, transfers)
	g.Expect(w.servers).To(HaveLen(w.spec.Replicas))
	for i, s := range w.servers {
		g.Expect(s.Serial).To(Equal(i), "the same servers")
		g.Expect(s.Pod.Revision).To(Equal(w.spec.Revision))
		g.Expect(s.Retiring || s.InPlace).To(BeFalse())
	}
	return w
}

func upgradeInPlace(t *testing.T, replicas, transfers int) *world {
	w := foundedInPlace(t, replicas)
	w.upgradeTo("new")
	w.run(nil)
	return inPlaceAgain(t, w, transfers)
}

func TestRolloutsInPlace(t *testing.T) {
	expectGolden(t, map[string]func(t *testing.T) *world{
		"in-place-1": func(t *testing.T) *world { return upgradeInPlace(t, 1, 0) },
		"in-place-3": func(t *testing.T) *world { return upgradeInPlace(t, 3, 1) },
		"in-place-rollback-in-the-middle": func(t *testing.T) *world {
			w := foundedInPlace(t, 3)
			w.upgradeTo("new")
			w.run(w.updated(1))
			w.run(w.leftInPlace)
			w.upgradeTo("old")
			w.run(nil)
			return inPlaceAgain(t, w, 0)
		},
		"in-place-bad-revision-then-fixed": func(t *testing.T) *world {
			w := foundedInPlace(t, 3)
			w.broken["bad"] = true
			w.upgradeTo("bad")
			w.run(func() bool { return w.now.Sub(w.start) > time.Minute })
			NewWithT(t).Expect(w.healthyVoters()).To(Equal(2), "the others go on")
			w.upgradeTo("good")
			w.run(nil)
			return inPlaceAgain(t, w, 1)
		},
		"in-place-1-bad-revision-then-fixed": func(t *testing.T) *world {
			w := foundedInPlace(t, 1)
			w.broken["bad"] = true
			w.upgradeTo("bad")
			w.run(func() bool { return w.now.Sub(w.start) > 30*time.Second })
			w.upgradeTo("good")
			w.run(nil)
			return inPlaceAgain(t, w, 0)
		},
		"in-place-paused-in-the-middle": func(t *testing.T) *world {
			w := foundedInPlace(t, 3)
			w.upgradeTo("new")
			w.run(w.leftInPlace)
			w.note("paused")
			w.spec.Paused = true
			w.run(func() bool { return w.now.Sub(w.start) > time.Minute })
			NewWithT(t).Expect(w.healthyVoters()).To(Equal(3), "it came back")
			w.note("no longer paused")
			w.spec.Paused = false
			w.run(nil)
			return inPlaceAgain(t, w, 1)
		},
		"in-place-since-there-is-no-room": func(t *testing.T) *world {
			w := founded(t, 3, 1)
			w.full = true
			w.upgradeTo("new")
			w.run(func() bool { return w.now.Sub(w.start) > 20*time.Second })
			w.note("the update type becomes InPlace")
			w.spec.InPlace = true
			w.run(nil)
			return inPlaceAgain(t, w, 1)
		},
		"in-place-until-surge": func(t *testing.T) *world {
			w := foundedInPlace(t, 3)
			w.upgradeTo("new")
			w.run(w.leftInPlace)
			w.note("the update type becomes Surge")
			w.spec.InPlace = false
			w.run(nil)
			expectTransfers(t, w, 1)
			return w
		},
		"in-place-and-a-node-lost": func(t *testing.T) *world {
			w := foundedInPlace(t, 3)
			w.upgradeTo("new")
			w.run(w.updated(1))
			w.note("the node of the new consul-1 dies, for good")
			w.killNode("consul-1")
			w.run(nil)
			expectTransfers(t, w, 1)
			return w
		},
	})
}

// inPlace is a cluster that is updated in place; its server 1 is about to leave.
func inPlace(o *plan.Observation) *plan.Server {
	o.Spec.InPlace = true
	s := retiring(o, 1)
	s.InPlace, s.Pod.Revision = true, "old"
	return s
}

// gone is a server that has left and whose pod is gone.
func gone(s *plan.Server) *plan.Server {
	s.Pod, s.Member, s.Peer, s.Health, s.Agent = nil, plan.MemberLeft, nil, plan.HealthUnknown, plan.Agent{}
	return s
}

// only is a cluster of one server of another revision.
func only(o *plan.Observation) *plan.Server {
	o.Spec.InPlace, o.Spec.Replicas, o.Raft.MinQuorum, o.Servers = true, 1, 1, o.Servers[:1]
	s := &o.Servers[0]
	s.Revision, s.Pod.Revision = "old", "old"
	return s
}

// leaderless is a cluster in which nobody leads and one server does not run.
func leaderless(o *plan.Observation, s *plan.Server) {
	o.Raft = plan.Raft{Unknown: "consul-0 not answering"}
	s.Peer, s.Member, s.Health, s.Agent = nil, plan.MemberAbsent, plan.HealthUnknown, plan.Agent{}
	s.Pod.Running, s.Pod.Ready = false, false
}

// surplus is a fourth server that takes no part.
func surplus(o *plan.Observation) *plan.Server {
	fourth(o)
	s := &o.Servers[3]
	s.Peer, s.Member, s.Agent = nil, plan.MemberAbsent, plan.Agent{}
	s.Pod = &plan.Pod{Revision: "r", Problem: plan.Problem{Reason: reason.Unschedulable, Message: "no node"}}
	return s
}

func old(o *plan.Observation, servers ...int) {
	for _, i := range servers {
		o.Servers[i].Revision, o.Servers[i].Pod.Revision = "old", "old"
	}
}

func TestStepInPlace(t *testing.T) {
	testSteps(t, map[string]stepTest{
		"no server is added: one that has to go is marked": {
			func(o *plan.Observation) { o.Spec.InPlace, o.Spec.Revision = true, "new" },
			plan.MarkRetiring{Server: "consul-1", InPlace: true}, reason.UpdatingInPlace,
		},
		"I3 the leader goes last": {
			func(o *plan.Observation) { o.Spec.InPlace = true; old(o, 0) },
			plan.MarkRetiring{Server: "consul-0", InPlace: true}, reason.UpdatingInPlace,
		},
		"I1 not while another one does not serve": {
			func(o *plan.Observation) { o.Spec.InPlace = true; old(o, 0, 1); o.Servers[2].Pod.Ready = false },
			nil, reason.WaitingForReady,
		},
		"I1 not while another one has no vote": {
			func(o *plan.Observation) { o.Spec.InPlace = true; old(o, 0, 1); o.Servers[2].Peer.Voter = false },
			nil, reason.WaitingForVoter,
		},
		"but the one that is sick itself goes first": {
			func(o *plan.Observation) { o.Spec.InPlace = true; old(o, 1, 2); sick(o, 2, time.Minute) },
			plan.MarkRetiring{Server: "consul-2", InPlace: true}, reason.UpdatingInPlace,
		},
		"I1 not under a new leader": {
			func(o *plan.Observation) { o.Spec.InPlace = true; old(o, 1); o.Raft.LeaderSince = noon }, nil, reason.LeaderNotStable,
		},
		"I1 not while strays that are alive raise the quorum": {
			func(o *plan.Observation) {
				o.Spec.InPlace = true
				old(o, 1)
				stray(o, plan.MemberAlive)
				o.Raft.Peers = append(o.Raft.Peers, plan.Peer{ID: "y", Name: "too", Voter: true})
				o.Raft.Members = append(o.Raft.Members, plan.Member{ID: "y", Name: "too", Status: plan.MemberAlive})
			}, nil, reason.NotEnoughHealthyVoters,
		},
		"one whose node is silent is not waited for, nor marked": {
			func(o *plan.Observation) {
				o.Spec.InPlace, o.Spec.ReplaceFailedAfter = true, 0
				old(o, 1)
				overdue(&o.Servers[1])
			}, nil, reason.WaitingForServer,
		},
		"an idle one whose pod is stopping is no candidate": {
			func(o *plan.Observation) {
				o.Spec.InPlace = true
				old(o, 1)
				s := &o.Servers[1]
				s.Peer, s.Member, s.Agent = nil, plan.MemberAbsent, plan.Agent{}
				s.Pod.Terminating, s.Pod.StopBy = true, noon.Add(time.Second)
			}, nil, reason.WaitingForServer,
		},
		"it leaves when two others stay": {
			func(o *plan.Observation) { inPlace(o) }, plan.Leave{Server: "consul-1"}, reason.Leaving,
		},
		"I1 it stays when another one is lost": {
			func(o *plan.Observation) { inPlace(o); sick(o, 2, time.Minute) },
			plan.UnmarkRetiring{Server: "consul-1"}, reason.KeepingServer,
		},
		"I1 it waits when another one does not answer for once": {
			func(o *plan.Observation) { inPlace(o); o.Servers[2].Agent.Answered = false }, nil, reason.NotEnoughHealthyVoters,
		},
		"its pod goes when it has left": {
			func(o *plan.Observation) { s := inPlace(o); s.Member, s.Peer = plan.MemberLeft, nil },
			plan.DeletePod{Server: "consul-1"}, reason.RemovingServer,
		},
		"it comes back of the wanted revision": {
			func(o *plan.Observation) { gone(inPlace(o)) }, plan.SetRevision{Server: "consul-1"}, reason.UpdatingInPlace,
		},
		"it comes back, whatever the type is by now": {
			func(o *plan.Observation) { gone(inPlace(o)); o.Spec.InPlace = false },
			plan.SetRevision{Server: "consul-1"}, reason.UpdatingInPlace,
		},
		"it comes back as it was while paused": {
			func(o *plan.Observation) { gone(inPlace(o)); o.Spec.Paused = true },
			plan.UnmarkRetiring{Server: "consul-1"}, reason.KeepingServer,
		},
		"it comes back as it was while the spec cannot be honored": {
			func(o *plan.Observation) { gone(inPlace(o)); o.Spec.Invalid = &plan.Problem{Reason: "Bad"} },
			plan.UnmarkRetiring{Server: "consul-1"}, reason.KeepingServer,
		},
		"I4 it does not come back while it is a peer": {
			func(o *plan.Observation) { s := inPlace(o); s.Pod, s.Member = nil, plan.MemberLeft },
			plan.RemovePeer{ID: "consul-1", Name: "consul-1"}, reason.PruningDeadPeer,
		},
		"it does not come back when fewer are wanted by now": {
			func(o *plan.Observation) { gone(inPlace(o)); o.Spec.Replicas, o.Raft.MinQuorum = 1, 1 },
			plan.ReleaseClaim{Server: "consul-1"}, reason.RemovingServer,
		},
		"it does not come back when its claim was deleted": {
			func(o *plan.Observation) { gone(inPlace(o)).ClaimDeleting = true }, nil, reason.RemovingServer,
		},
		"it stays when it is wanted as it is": {
			func(o *plan.Observation) { s := inPlace(o); s.Revision, s.Pod.Revision = "r", "r" },
			plan.UnmarkRetiring{Server: "consul-1"}, reason.KeepingServer,
		},
		"it stays when the type is Surge before it has left": {
			func(o *plan.Observation) { inPlace(o); o.Spec.InPlace = false },
			plan.UnmarkRetiring{Server: "consul-1"}, reason.KeepingServer,
		},
		"it stays when it is paused before it has left": {
			func(o *plan.Observation) { inPlace(o); o.Spec.Paused = true },
			plan.UnmarkRetiring{Server: "consul-1"}, reason.KeepingServer,
		},
		"it stays when its node is drained: another one takes its place": {
			func(o *plan.Observation) { inPlace(o).Pod.Cordoned = true },
			plan.UnmarkRetiring{Server: "consul-1"}, reason.KeepingServer,
		},
		"it stays when its node is silent: that is for failureReplacement": {
			func(o *plan.Observation) { overdue(inPlace(o)).Agent.Answered = false },
			plan.UnmarkRetiring{Server: "consul-1"}, reason.KeepingServer,
		},
		"a failed one is replaced by another one": {
			func(o *plan.Observation) { o.Spec.InPlace = true; old(o, 1); sick(o, 1, time.Hour).Failed = true },
			plan.CreateServer{Serial: 3}, reason.ReplacingFailedServer,
		},
		"a drained one is replaced by another one": {
			func(o *plan.Observation) { o.Spec.InPlace = true; old(o, 0, 1, 2); drain(o, 1) },
			plan.CreateServer{Serial: 3}, reason.NodeDraining,
		},
		"a surge that is begun: who serves and is too many retires": {
			func(o *plan.Observation) { o.Spec.InPlace = true; fourth(o); old(o, 0, 1, 2) },
			plan.MarkRetiring{Server: "consul-1"}, reason.RetiringServer,
		},
		"a surge that is begun: who takes no part and is too many goes first": {
			func(o *plan.Observation) { o.Spec.InPlace = true; surplus(o); old(o, 0, 1, 2) },
			plan.MarkRetiring{Server: "consul-3"}, reason.RetiringServer,
		},
		"a drain: the new server is not too many": {
			func(o *plan.Observation) {
				o.Spec.InPlace = true
				surplus(o).Pod.Problem = plan.Problem{}
				drain(o, 1)
			}, nil, reason.WaitingForServer,
		},
		"the only one: its claim is changed first": {
			func(o *plan.Observation) { only(o) }, plan.SetRevision{Server: "consul-0"}, reason.UpdatingInPlace,
		},
		"the only one: then it is restarted": {
			func(o *plan.Observation) { only(o).Revision = "r" }, plan.DeletePod{Server: "consul-0"}, reason.UpdatingInPlace,
		},
		"the only one: once": {
			func(o *plan.Observation) {
				s := only(o)
				s.Revision, s.Pod.Terminating, s.Pod.StopBy = "r", true, noon.Add(time.Second)
			}, nil, reason.WaitingForServer,
		},
		"the only one: not beside a stray that could lead": {
			func(o *plan.Observation) { only(o); stray(o, plan.MemberAlive) }, nil, reason.NotEnoughHealthyVoters,
		},
		"the only one, whose claim was deleted: another one takes its place": {
			func(o *plan.Observation) { only(o).ClaimDeleting = true }, plan.CreateServer{Serial: 3}, reason.CreatingServer,
		},
		"the only one to be: the others go first": {
			func(o *plan.Observation) {
				o.Spec.InPlace, o.Spec.Replicas, o.Raft.MinQuorum, o.Servers = true, 1, 1, o.Servers[:2]
				old(o, 0, 1)
				o.Servers[0].Failed = true
			}, plan.MarkRetiring{Server: "consul-0"}, reason.RetiringServer,
		},
		"the only one does not start: the correction is for it": {
			func(o *plan.Observation) { leaderless(o, only(o)) }, plan.SetRevision{Server: "consul-0"}, reason.UpdatingInPlace,
		},
		"the only one does not start: that is said": {
			func(o *plan.Observation) {
				s := only(o)
				leaderless(o, s)
				s.Revision, s.Pod.Revision = "r", "r"
				s.Pod.Problem = plan.Problem{Reason: reason.ServerCannotStart, Message: "no image"}
			}, nil, reason.ServerCannotStart,
		},
		"the only one runs: nobody stops it without a leader": {
			func(o *plan.Observation) { s := only(o); leaderless(o, s); s.Pod.Running = true }, nil, reason.NoLeader,
		},
		"the only one does not start, nor another one that is to take its place": {
			func(o *plan.Observation) {
				o.Spec.InPlace, o.Spec.Replicas, o.Servers = true, 1, o.Servers[:2]
				leaderless(o, &o.Servers[0])
				leaderless(o, &o.Servers[1])
				o.Servers[0].ClaimDeleting = true
			}, nil, reason.NoLeader,
		},
	})
}
