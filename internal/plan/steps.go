package plan

import (
	"slices"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
)

// The steps and waits that several rules share.

// leaveAlone waits until a cluster is held no more.
func (v view) leaveAlone() *Decision {
	problem := v.held()
	return wait(v.heldInterval(), problem.Reason, "%s", problem.Message)
}

// heldInterval is the requeue interval of a held cluster. A server that was started before goes on by itself, and nothing
// notifies the operator when it becomes a voter, or when a user's Secret is there.
func (v view) heldInterval() time.Duration {
	if v.awaitsSecret() || slices.ContainsFunc(v.Servers, func(s Server) bool { return !v.healthyVoter(s) }) {
		return steadily
	}
	return 0
}

// awaitStableLeader waits until the leader has led for spec.update.leaderStableFor.
func (v view) awaitStableLeader() *Decision {
	return wait(min(v.stableAt().Sub(v.now), steadily), reason.LeaderNotStable,
		"%s became leader only recently; the next step waits until it has led for %s", v.Raft.Leader, v.Spec.LeaderStableFor)
}

// awaitProcess waits for a server's process to run.
func (v view) awaitProcess(s Server) *Decision {
	switch {
	case s.Pod != nil && s.Pod.Problem.Reason != "":
		return v.awaitRepair(s)
	case s.Pod != nil && s.Pod.Terminating:
		return wait(often, reason.WaitingForServer, "the pod of %s is stopping, and another one takes its place%s",
			s.Name, v.prospect(s))
	case s.Pod != nil && s.Pod.Finished:
		return wait(often, reason.WaitingForServer, "the pod of %s has ended, and another one takes its place%s", s.Name, v.prospect(s))
	case s.Pod == nil || !s.Pod.Running:
		return wait(often, reason.WaitingForServer, "%s is starting%s", s.Name, v.prospect(s))
	}
	return nil
}

// awaitRepair says what keeps a server from running.
func (v view) awaitRepair(s Server) *Decision {
	problem := s.Pod.Problem
	if problem.Reason == reason.Unschedulable && v.nowhereToGo() {
		return wait(steadily, reason.Unschedulable, "no node takes %s in the place of %s, whose node is drained (%s): %s",
			s.Name, v.drained()[0].Name, problem.Message, v.untilThereIsANode())
	}
	return wait(steadily, problem.Reason, "%s: %s%s", s.Name, problem.Message, v.prospect(s))
}

func (v view) untilThereIsANode() string {
	if v.Spec.Replicas == 1 {
		return "the only server is not evicted; to let it go all the same, delete its pod"
	}
	return "until a node does, one server at a time may be evicted, and comes back with its node"
}

// notEnoughVoters says that a server cannot go because too few healthy voters would stay.
func (v view) notEnoughVoters(toKeep int) *Decision {
	return wait(often, reason.NotEnoughHealthyVoters,
		"no server can retire: %d healthy voters that serve would have to stay, there are %d", toKeep, len(v.serving()))
}

// replaceIdlePod keeps the claim and its serial and replaces the pod. The old pod goes first: a server that joins at the
// last moment then leaves again, and is never left with a claim of a revision that it does not run.
func (v view) replaceIdlePod(s Server) *Decision {
	switch {
	case s.Pod == nil && s.Revision != v.Spec.Revision:
		return step(SetRevision{Server: s.Name}, reason.ReplacingIdleServer,
			"%s takes no part in the cluster: it gets the wanted revision", s.Name)
	case v.hasOutdatedPod(s):
		return step(DeletePod{Server: s.Name}, reason.ReplacingIdleServer,
			"%s takes no part in the cluster: its pod is replaced by one with the wanted revision", s.Name)
	}
	return nil
}

// reviseOnVolume gives a server the wanted revision on its volume, and says why: first of the claim, then of the pod. The claim
// goes first: whoever finds no pod afterwards creates one of the claim's revision, with or without a leader.
func (v view) reviseOnVolume(s Server, whyClaim, whyPod string) *Decision {
	switch {
	case s.Revision != v.Spec.Revision:
		return step(SetRevision{Server: s.Name}, reason.UpdatingInPlace, whyClaim, s.Name)
	case v.hasOutdatedPod(s):
		return step(DeletePod{Server: s.Name}, reason.UpdatingInPlace, whyPod, s.Name)
	}
	return nil
}

// removePeer removes a dead peer. Serf goes first: a peer that Serf calls failed would be added to Raft again.
func (v view) removePeer(p Peer, status MemberStatus) *Decision {
	switch status {
	case MemberAlive, MemberLeaving:
		return wait(soon, reason.RemovingServer, "%s has no pod any more and Serf has not noticed yet", p.Name)
	case MemberFailed:
		return step(ForceLeave{Node: p.Name}, reason.PruningDeadPeer, "%s is dead: Serf is told that it has left", p.Name)
	}
	return step(RemovePeer{ID: p.ID, Name: p.Name}, reason.PruningDeadPeer,
		"%s is dead: it is removed from the Raft peers", p.Name)
}
