package plan

import (
	"cmp"
	"slices"
)

// retireNext chooses the next server to retire: first who matters least. The marker is written before anything that
// cannot be undone, so that an operator that starts anew goes on with the same server.
func retireNext(v view) *Decision {
	candidates := v.retirable()
	if len(candidates) == 0 {
		return nil
	}
	chosen := candidates[0]
	if chosen.InPlace = v.updatable(chosen); chosen.InPlace && v.isOnly() {
		return v.restartOnly()
	}
	if !v.enoughWithout(chosen) {
		return nil // awaitServers says what is missing
	}
	if chosen.InPlace {
		return v.updateInPlace(chosen)
	}
	return step(MarkRetiring{Server: chosen.Name}, ReasonRetiringServer, "retiring %s: %s", chosen.Name, v.whyRetire(chosen))
}

func (v view) whyRetire(s Server) string {
	switch {
	case s.ClaimDeleting:
		return "its volume claim was deleted"
	case s.Failed:
		return "it has failed and another one has taken its place"
	case isDrained(s):
		return "its node is drained and another server has taken its place"
	case v.outdated(s):
		return "it is of an older revision and enough voters of the new one are healthy"
	}
	return "it is one more than wanted"
}

// retirable are the staying servers that are outdated or, if there are none, the surplus; who matters least first:
// servers without a vote, then the unhealthy, then followers, and the leader last (I3).
func (v view) retirable() []Server {
	candidates, oldestFirst := v.outdatedOnes(), 1
	if len(candidates) == 0 {
		if len(v.staying()) <= v.Spec.Replicas {
			return nil
		}
		candidates, oldestFirst = v.staying(), -1
	}
	slices.SortStableFunc(candidates, func(a, b Server) int {
		return cmp.Or(
			compareBool(v.leads(a), v.leads(b)),
			compareBool(isVoter(a), isVoter(b)),
			compareBool(v.healthyVoter(a), v.healthyVoter(b)),
			oldestFirst*cmp.Compare(a.Serial, b.Serial))
	})
	return candidates
}

func isVoter(s Server) bool { return s.Peer != nil && s.Peer.Voter }

// retire goes on with a server that is on its way out.
func retire(v view) *Decision {
	i := slices.IndexFunc(v.Servers, func(s Server) bool { return s.Retiring })
	if i < 0 {
		return nil
	}
	s := v.Servers[i]
	if d := v.keepInPlace(s); d != nil {
		return d
	}
	switch {
	case v.canLeave(s):
		return v.retireAlive(s)
	case s.Pod != nil && !v.lost(s):
		return v.retireStopped(s)
	case s.Peer != nil:
		return v.removePeer(*s.Peer, s.Member)
	}
	if d := v.comeBack(s); d != nil {
		return d
	}
	return v.letVolumeGo(s)
}

// canLeave says whether a server can be asked to leave: it runs, and nobody else stops it.
func (v view) canLeave(s Server) bool {
	return s.Member == MemberAlive && s.Pod != nil && (!s.Pod.Terminating || v.overdue(s) && s.Agent.Answered)
}

// letVolumeGo is the end of a server that is gone from Raft.
func (v view) letVolumeGo(s Server) *Decision {
	heard := s.Member == MemberAlive || s.Member == MemberLeaving
	switch {
	case heard && s.Pod == nil: // a process may outlive its pod
		return wait(lookOften, ReasonRemovingServer,
			"%s has no pod any more and Serf still hears it; if that goes on, stop its process", s.Name)
	case heard && v.lost(s):
		return wait(lookOften, ReasonRemovingServer, "Serf still hears %s and its node does not say that its pod has stopped; "+
			"stop its process, or delete the pod by force if it is gone", s.Name)
	case s.Failed || v.lost(s):
		return step(QuarantineClaim{Server: s.Name}, ReasonRemovingServer, "%s has failed: its volume is set aside", s.Name)
	case s.ClaimDeleting:
		return wait(lookOften, ReasonRemovingServer, "%s has left: its volume is about to go", s.Name)
	}
	return step(ReleaseClaim{Server: s.Name}, ReasonRemovingServer, "%s has left: its volume is released", s.Name)
}

// retireAlive brings a server that takes part to the point where it leaves.
func (v view) retireAlive(s Server) *Decision {
	if v.wantedAfterAll(s) {
		return step(UnmarkRetiring{Server: s.Name}, ReasonKeepingServer, "%s is wanted after all", s.Name)
	}
	if d := hold(v); d != nil {
		return d
	}
	if v.hasClients(s) {
		return wait(lookSoon, ReasonWaitingForEndpoints, "%s is being taken out of the client Service", s.Name)
	}
	if isVoter(s) && !v.enoughWithout(s) {
		return v.needed(s)
	}
	if v.leads(s) {
		target := v.successor()
		if target == nil {
			return v.needed(s)
		}
		if !v.leaderIsStable() { // it was handed over and came back: do not go on and on
			return v.awaitStableLeader()
		}
		return step(TransferLeadership{From: s.Name, To: target.Name}, ReasonTransferringLeadership,
			"handing leadership from %s to %s", s.Name, target.Name)
	}
	if !s.Agent.Answered {
		// It is out of the Service, does not lead and is not needed: SIGTERM makes it leave as well.
		return step(DeletePod{Server: s.Name}, ReasonLeaving, "the agent of %s does not answer: it is stopped", s.Name)
	}
	return step(Leave{Server: s.Name}, ReasonLeaving, "%s leaves the cluster", s.Name)
}

// hasClients says whether the client Service sends connections to a server, or did until a moment ago.
func (v view) hasClients(s Server) bool {
	return s.Routed || !s.Pod.Terminating && (s.Pod.Serving || v.now.Before(s.Pod.ServingFrom.Add(EndpointsSettle)))
}

// wantedAfterAll says whether the reason for retiring a server is gone, as after a rollback.
func (v view) wantedAfterAll(s Server) bool {
	return !v.outdated(s) && len(v.current()) < v.Spec.Replicas
}

// needed keeps a server whose turn to retire came too early: voters were lost, or more are wanted, since it was chosen.
// It may have to wait for a server that nobody would create as long as it retires. Where the voters are there, and only
// one did not answer in time or autopilot is in doubt for a moment, it waits. One whose pod does not run is not there: its
// process may have outlived another pod, and nobody would serve.
func (v view) needed(s Server) *Decision {
	there := filter(v.staying(), func(s Server) bool {
		return isVoter(s) && s.Member == MemberAlive && s.Pod != nil && s.Pod.Running && !s.Pod.Terminating
	})
	if !v.leaderIsStable() || len(there) >= v.mustStay(s) {
		return v.notEnoughVoters(v.mustStay(s))
	}
	return step(UnmarkRetiring{Server: s.Name}, ReasonKeepingServer, "%s has to stay: too few healthy voters would be left", s.Name)
}

// retireStopped waits for a server that leaves or has left, and deletes its pod before the kubelet can start it anew.
func (v view) retireStopped(s Server) *Decision {
	switch {
	case s.Pod.Terminating && v.now.After(s.Pod.StopBy.Add(unconfirmed/2)):
		return wait(lookOften, ReasonRemovingServer, "the pod of %s should have stopped by now; if its node does not say so by %s, "+
			"it is taken for lost", s.Name, clock(s.Pod.StopBy.Add(unconfirmed)))
	case s.Pod.Terminating:
		return wait(lookSoon, ReasonRemovingServer, "the pod of %s is stopping", s.Name)
	case s.Member == MemberLeaving, s.Member == MemberLeft && s.Peer != nil && s.Agent.Answered:
		return wait(lookSoon, ReasonLeaving, "%s is leaving the cluster", s.Name)
	case lostToSerf(s) && s.Agent.Answered && !v.isCutOff(s):
		return wait(lookOften, ReasonUnhealthyServer, "%s is back and Serf has not noticed yet", s.Name)
	case isVoter(s) && !v.enoughWithout(s):
		return v.needed(s)
	}
	return step(DeletePod{Server: s.Name}, ReasonRemovingServer, "%s has left: its pod is deleted", s.Name)
}

// isCutOff says whether Serf has had the time to notice a server that is back, and has not: the others do not hear it.
func (v view) isCutOff(s Server) bool {
	return !s.UnhealthySince.IsZero() && v.now.After(s.UnhealthySince.Add(unconfirmed))
}

// lostToSerf is true for a peer that Serf calls failed, or does not know: a leader that started anew never learns of one
// that had failed before.
func lostToSerf(s Server) bool {
	return s.Member == MemberFailed || s.Member == MemberAbsent && s.Peer != nil
}

// prune removes Raft peers and dead Serf members that belong to no server of ours: servers deleted without a leave.
// Each dead voter counts towards quorum, so this comes before anything else. A member that is alive is never
// touched (I4), nor is one on which Serf's word is not known.
func prune(v view) *Decision {
	for _, p := range v.Raft.Peers {
		if v.ours(p.ID) {
			continue
		}
		if status := v.memberStatus(p.ID); status != MemberAlive && status != MemberLeaving {
			return v.removePeer(p, status)
		}
	}
	for _, m := range v.Raft.Members {
		if m.Status == MemberFailed && !v.ours(m.ID) {
			return step(ForceLeave{Node: m.Name}, ReasonPruning,
				"%s is dead and belongs to no server: Serf is told that it has left", m.Name)
		}
	}
	return nil
}

// awaitStrays does not call a cluster healthy that counts on a peer that is not ours. Serf calls a dead one failed within
// seconds; one that is alive has to be stopped by whoever started it.
func awaitStrays(v view) *Decision {
	for _, p := range v.Raft.Peers {
		if !v.ours(p.ID) {
			return wait(lookOn, ReasonStrayPeer, "%s is a Raft peer and none of our servers, and Serf calls it %s; if it goes on "+
				"running, stop it where it runs", p.Name, v.memberStatus(p.ID))
		}
	}
	return nil
}

func (v view) ours(id string) bool {
	return slices.ContainsFunc(v.Servers, func(s Server) bool { return s.ID == id })
}

func (v view) memberStatus(id string) MemberStatus {
	i := slices.IndexFunc(v.Raft.Members, func(m Member) bool { return m.ID == id })
	if i < 0 {
		return MemberAbsent
	}
	return v.Raft.Members[i].Status
}

// removePeer removes a dead peer. Serf goes first: a peer that Serf calls failed would be added to Raft again.
func (v view) removePeer(p Peer, status MemberStatus) *Decision {
	switch status {
	case MemberAlive, MemberLeaving:
		return wait(lookSoon, ReasonRemovingServer, "%s has no pod any more and Serf has not noticed yet", p.Name)
	case MemberFailed:
		return step(ForceLeave{Node: p.Name}, ReasonPruning, "%s is dead: Serf is told that it has left", p.Name)
	}
	return step(RemovePeer{ID: p.ID, Name: p.Name}, ReasonPruning, "%s is dead: it is removed from the Raft peers", p.Name)
}

// notEnoughVoters says that a server cannot go because too few healthy voters would stay.
func (v view) notEnoughVoters(mustStay int) *Decision {
	serving := len(filter(v.staying(), v.serves))
	return wait(lookOften, ReasonNotEnoughVoters,
		"no server can retire: %d healthy voters that serve would have to stay, there are %d", mustStay, serving)
}
