package plan

import (
	"slices"

	"github.com/consul-operator/consul-operator/api/reason"
)

// retire goes on with a server that retires: out of the client Service, leadership handed over, leave, gone from Raft, pod,
// claim. A server that is updated in place goes the same way, and comes back on its claim.
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

// keepInPlace takes the markers of an update in place back while the server has not left yet, where nothing asks for the
// update any more or a failure has overtaken it: then it goes another way, or not at all. A held cluster has all its servers.
func (v view) keepInPlace(s Server) *Decision {
	switch {
	case !s.InPlace:
		return nil
	case v.overdue(s):
		return step(UnmarkRetiring{Server: s.Name}, reason.KeepingServer,
			"the node of %s does not confirm that its pod has stopped: it cannot be updated in place", s.Name)
	case v.canLeave(s) && (v.isHeld() || !v.updatable(s)):
		return step(UnmarkRetiring{Server: s.Name}, reason.KeepingServer, "%s is not to be updated in place for now", s.Name)
	}
	return nil
}

// retireAlive brings a server that takes part to the point where it leaves.
func (v view) retireAlive(s Server) *Decision {
	if v.isWantedAgain(s) {
		return step(UnmarkRetiring{Server: s.Name}, reason.KeepingServer, "%s is wanted after all", s.Name)
	}
	if v.isHeld() {
		return v.leaveAlone()
	}
	if v.hasClients(s) {
		return wait(soon, reason.WaitingForEndpoints, "%s is being taken out of the client Service", s.Name)
	}
	if isVoter(s) && !v.enoughWithout(s, v.toKeep(s)) {
		return v.needed(s)
	}
	if v.leads(s) {
		return v.handOver(s)
	}
	if !s.Agent.Answered {
		// It is out of the Service, does not lead and is not needed: SIGTERM makes it leave as well.
		return step(DeletePod{Server: s.Name}, reason.Leaving, "the agent of %s does not answer: it is stopped", s.Name)
	}
	return step(Leave{Server: s.Name}, reason.Leaving, "%s leaves the cluster", s.Name)
}

// isWantedAgain reports whether the reason for retiring a server is gone, as after a rollback.
func (v view) isWantedAgain(s Server) bool {
	return !v.outdated(s) && len(v.current()) < v.Spec.Replicas
}

// handOver moves leadership from a retiring leader to a server that stays.
func (v view) handOver(s Server) *Decision {
	target := v.successor()
	if target == nil {
		return v.needed(s)
	}
	if !v.leaderIsStable() { // it was handed over and came back: do not go on and on
		return v.awaitStableLeader()
	}
	return step(TransferLeadership{From: s.Name, To: target.Name}, reason.TransferringLeadership,
		"handing leadership from %s to %s", s.Name, target.Name)
}

// needed keeps a server that was chosen to retire too early: voters were lost, or more are wanted, since it was chosen. While
// it retires no server is created, so waiting could last for ever. Where the voters are there, and only one did not answer
// in time or autopilot is in doubt for a moment, it waits.
func (v view) needed(s Server) *Decision {
	if !v.leaderIsStable() || len(filter(v.staying, isPresentVoter)) >= v.toKeep(s) {
		return v.notEnoughVoters(v.toKeep(s))
	}
	return step(UnmarkRetiring{Server: s.Name}, reason.KeepingServer, "%s has to stay: too few healthy voters would be left", s.Name)
}

// isPresentVoter reports whether a voter is there, whatever autopilot thinks of it. A voter whose pod does not run is not:
// its process may have outlived another pod, and would not serve.
func isPresentVoter(s Server) bool {
	return isVoter(s) && isPresent(s)
}

// retireStopped waits for a server that leaves or has left, and deletes its pod.
func (v view) retireStopped(s Server) *Decision {
	switch {
	case s.Pod.Terminating && missedSIGTERM(s) && v.mayLeave(s):
		return step(Leave{Server: s.Name}, reason.Leaving, "%s missed SIGTERM and still runs: it is asked to leave", s.Name)
	case s.Pod.Terminating:
		return v.awaitPodToStop(s)
	case isLeaving(s):
		return wait(soon, reason.Leaving, "%s is leaving the cluster", s.Name)
	case v.isBackUnnoticed(s):
		return wait(often, reason.UnhealthyServer, "%s is back and Serf has not noticed yet", s.Name)
	case isVoter(s) && !v.enoughWithout(s, v.toKeep(s)):
		return v.needed(s)
	}
	return step(DeletePod{Server: s.Name}, reason.RemovingServer, "%s has left: its pod is deleted", s.Name)
}

func (v view) awaitPodToStop(s Server) *Decision {
	if v.now.After(s.Pod.StopBy.Add(unconfirmed / 2)) {
		return wait(often, reason.RemovingServer, "the pod of %s should have stopped by now; if its node does not confirm that by "+
			"%s, the pod is considered lost", s.Name, clock(s.Pod.StopBy.Add(unconfirmed)))
	}
	return wait(soon, reason.RemovingServer, "the pod of %s is stopping", s.Name)
}

// missedSIGTERM reports whether a server runs on although its pod is being deleted. Consul loses a SIGTERM that comes while it
// starts, as when the kubelet has started a server again that had left. It would become a voter, and be killed as one.
func missedSIGTERM(s Server) bool { return s.Member == MemberAlive && s.Agent.Answered }

// mayLeave reports whether a server can go: it has no clients, does not lead, and is no voter that is needed.
func (v view) mayLeave(s Server) bool {
	return !v.hasClients(s) && !v.leads(s) && (!isVoter(s) || v.enoughWithout(s, v.toKeep(s)))
}

// isLeaving reports whether a server is on its way out of Serf and Raft.
func isLeaving(s Server) bool {
	return s.Member == MemberLeaving || s.Member == MemberLeft && s.Peer != nil && s.Agent.Answered
}

func (v view) isBackUnnoticed(s Server) bool {
	return lostToSerf(s) && s.Agent.Answered && !v.isCutOff(s)
}

// comeBack ends an update in place, if the server is still wanted. In a held cluster, and in one that is to be saved before an
// upgrade, it comes back as it was.
func (v view) comeBack(s Server) *Decision {
	switch {
	case !s.InPlace || !mayComeBack(s) || !v.isWanted(s):
		return nil
	case v.isHeld(), v.lacksSnapshot():
		return step(UnmarkRetiring{Server: s.Name}, reason.KeepingServer, "%s comes back as it was", s.Name)
	}
	return step(SetRevision{Server: s.Name}, reason.UpdatingInPlace,
		"%s has left: it comes back on its volume with the wanted revision", s.Name)
}

// letVolumeGo is the end of a server that is gone from Raft.
func (v view) letVolumeGo(s Server) *Decision {
	switch {
	case heard(s.Member) && s.Pod == nil: // a process may outlive its pod
		return wait(often, reason.RemovingServer,
			"%s has no pod any more and Serf still hears it; if that goes on, stop its process", s.Name)
	case heard(s.Member) && v.lost(s):
		return wait(often, reason.RemovingServer, "Serf still hears %s and its node does not confirm that its pod has stopped; "+
			"stop its process, or delete the pod by force if it is gone", s.Name)
	case s.Failed || v.lost(s):
		return step(QuarantineClaim{Server: s.Name}, reason.RemovingServer, "%s has failed: its volume is set aside", s.Name)
	case s.ClaimDeleting:
		return wait(often, reason.RemovingServer, "%s has left: its volume is about to go", s.Name)
	}
	return step(ReleaseClaim{Server: s.Name}, reason.RemovingServer, "%s has left: its volume is released", s.Name)
}
