package plan

import (
	"slices"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
)

// reviseFollowers gives the wanted revision, on their volumes, to servers that cannot read the log of the leader: those of Consul
// up to 1.20.1 under a leader of a later version, after an election that nobody planned, or if there are only two servers. They
// miss everything from then on. If their votes are needed, nothing is written any more, no server can be added or removed, and
// no other one can be elected, since the leader's log is the newest. If they are not, one that retires leaves as ever.
func reviseFollowers(v view) *Decision {
	leader := v.server(v.Raft.Leader)
	if leader == nil || !v.wantedFollows(*leader) || v.isHeld() || !v.leaderIsStable() {
		return nil
	}
	isNeeded := v.isOutvoted()
	deaf := filter(v.Servers, func(s Server) bool { return v.isDeaf(s) && (isNeeded || !s.Retiring && !hasFailed(s)) })
	if len(deaf) == 0 {
		return nil
	}
	if isNeeded {
		return v.reviseNeeded(deaf[0])
	}
	return v.reviseFollower(deaf[0])
}

// reviseNeeded restarts one server at a time: the leader needs to be heard by a quorum. One that is down comes first.
func (v view) reviseNeeded(next Server) *Decision {
	if i := slices.IndexFunc(v.Servers, v.isStarting); i >= 0 {
		return v.awaitFollower(v.Servers[i])
	}
	if i := slices.IndexFunc(v.Servers, v.isDown); i >= 0 {
		next = v.Servers[i]
	}
	return v.reviseFollower(next)
}

func (v view) reviseFollower(s Server) *Decision {
	if decision := v.reviseOnVolume(s,
		"%s cannot read the log of the leader, which has another version: it gets the wanted revision on its volume",
		"%s is restarted with the wanted revision, since it cannot read the leader's log with its own"); decision != nil {
		return decision
	}
	return v.awaitFollower(s)
}

func (v view) awaitFollower(s Server) *Decision {
	return wait(often, reason.UpdatingInPlace,
		"%s comes back with the wanted revision, and others that cannot read the leader's log wait for it", s.Name)
}

// NothingIsWritten reports whether so many voters cannot read the leader's log, or are restarted for that, that nothing is
// committed.
func NothingIsWritten(o Observation, now time.Time) bool {
	v := look(&o, now)
	isDeaf := func(s Server) bool { return s.Peer != nil && !v.canFollow(s) }
	return slices.ContainsFunc(v.Servers, isDeaf) && v.isOutvoted()
}

// wantedFollows reports whether servers of the wanted revision follow the leader: it is the leader's, or of a version that reads
// all logs. Somebody may have changed the spec since.
func (v view) wantedFollows(leader Server) bool {
	return !v.hasOtherRevision(leader) || !v.Spec.ReadsOnlyOldLogs
}

// isDeaf reports whether a peer that is there is of a version that cannot follow the leader, and another revision helps. It need
// not have a vote: autopilot gives none to one that does not follow. One that lags for another cause may be about to read the
// leader's snapshot, which a restart would interrupt.
func (v view) isDeaf(s Server) bool {
	isThere := s.Peer != nil && isPresent(s) && (s.Agent.Answered || isMute(s))
	return isThere && !v.canFollow(s) && v.isRevisable(s)
}

// isRevisable reports whether a server can get another revision, and comes back on its volume.
func (v view) isRevisable(s Server) bool { return v.hasOtherRevision(s) && !s.ClaimDeleting }

// isDown reports whether a voter that is to stay is about to stop, or does not run, and has or may get the wanted revision. One
// that cannot start is left to other rules.
func (v view) isDown(s Server) bool {
	isToStay := isVoter(s) && !v.leads(s) && !s.Retiring && !hasFailed(s) && !v.overdue(s) && !v.cannotStart(s)
	return isToStay && !staysUp(s) && (s.Revision == v.Spec.Revision || v.isRevisable(s))
}

// isStarting reports whether a voter with the wanted revision runs, and does not answer yet. One that hangs, or that the others
// do not hear, has failed in Serf, and may do so for ever.
func (v view) isStarting(s Server) bool {
	return isVoter(s) && !v.leads(s) && staysUp(s) && !s.Agent.Answered && s.Member != MemberAlive && s.Member != MemberFailed &&
		s.Revision == v.Spec.Revision
}
