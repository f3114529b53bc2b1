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
	case v.isTooNew(request.To):
		return wait(steadily, reason.LeadershipTransferRequested,
			"%s is to take over leadership; it waits for the update of others, whose Consul could not read its log", request.To)
	default:
		return wait(steadily, reason.LeadershipTransferRequested,
			"%s is to take over leadership and is not a healthy voter", request.To)
	}
}

// isTooNew reports whether a healthy voter cannot lead yet, since too few servers could follow it.
func (v view) isTooNew(name string) bool {
	s := v.server(name)
	return s != nil && v.healthyVoter(*s) && !v.couldLead(*s)
}
