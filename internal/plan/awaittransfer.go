package plan

import "github.com/consul-operator/consul-operator/api/reason"

// awaitTransfer says what a user's request for another leader waits for.
func awaitTransfer(v view) *Decision {
	switch request := v.Spec.Transfer; {
	case request == nil:
		return nil
	case !v.leaderIsStable():
		return v.awaitStableLeader()
	case request.To == "":
		return wait(steadily, reason.LeadershipTransferRequested,
			"no other healthy voter could take over leadership from %s", v.Raft.Leader)
	default:
		return wait(steadily, reason.LeadershipTransferRequested,
			"%s is to take over leadership, and is not a healthy voter that a quorum could follow", request.To)
	}
}
