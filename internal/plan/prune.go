package plan

import "github.com/consul-operator/consul-operator/api/reason"

// prune removes Raft peers and dead Serf members that belong to no server of ours: servers deleted without a leave. A dead
// voter counts towards the quorum, so this comes before anything voluntary. A member that is alive is never touched (I4).
func prune(v view) *Decision {
	for _, p := range v.Raft.Peers {
		if v.ours(p.ID) {
			continue
		}
		if status := v.memberStatus(p.ID); !heard(status) {
			return v.removePeer(p, status)
		}
	}
	for _, m := range v.Raft.Members {
		if m.Status == MemberFailed && !v.ours(m.ID) {
			return step(ForceLeave{Node: m.Name}, reason.PruningDeadPeer,
				"%s is dead and belongs to no server: Serf is told that it has left", m.Name)
		}
	}
	return nil
}
