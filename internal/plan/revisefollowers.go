package plan

import (
	"slices"

	"github.com/consul-operator/consul-operator/api/reason"
)

// reviseFollowers gives the leader's revision, on their volumes, to voters that cannot follow it, such as those of Consul up to
// 1.20.1 under a leader of a later version. If their votes are needed, after an election that nobody planned or because there are
// only two servers, nothing is written any more, no server can be added or removed, and no other one can be elected, since the
// leader's log is the newest. With the leader's revision they read it.
func reviseFollowers(v view) *Decision {
	leader := v.server(v.Raft.Leader)
	if leader == nil || v.hasOtherRevision(*leader) || v.canCommit() || v.isHeld() || !v.leaderIsStable() {
		return nil
	}
	deaf := filter(v.Servers, v.isDeaf)
	if len(deaf) == 0 {
		return nil
	}
	if i := slices.IndexFunc(v.Servers, v.isComingBack); i >= 0 { // one at a time: the leader needs to be heard by a quorum
		return wait(often, reason.UpdatingInPlace,
			"%s comes back with the leader's revision; nothing can be written until it follows", v.Servers[i].Name)
	}
	return v.reviseOnVolume(deaf[0], "%s does not follow the leader, which has another revision, and nothing can be written "+
		"without it: it gets that revision on its volume",
		"%s is restarted with the leader's revision, since it does not follow with its own")
}

// isDeaf reports whether a voter that is there is of a version that cannot follow the leader, and another revision helps. One
// that lags for another cause may be about to read the leader's snapshot, which a restart would interrupt.
func (v view) isDeaf(s Server) bool {
	return !v.canFollow(s) && isPresentVoter(s) && s.Agent.Answered && v.isRevisable(s)
}

// isRevisable reports whether a server can get another revision, and comes back on its volume.
func (v view) isRevisable(s Server) bool {
	return v.hasOtherRevision(s) && !s.ClaimDeleting && !isDrained(s)
}

// isComingBack reports whether a voter has just got the wanted revision: it is about to stop, or has not answered yet.
func (v view) isComingBack(s Server) bool {
	return isVoter(s) && !v.leads(s) && s.Revision == v.Spec.Revision && (s.Pod == nil || v.isRestarting(s))
}

func (v view) isRestarting(s Server) bool {
	return !v.overdue(s) && (s.Pod.Terminating || !s.Agent.Answered)
}
