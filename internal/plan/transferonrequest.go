package plan

import (
	"fmt"

	"github.com/consul-operator/consul-operator/api/reason"
)

// transferOnRequest hands leadership over because a user asked for it. A request that cannot be fulfilled now holds up
// nothing else; awaitTransfer says what it waits for.
func transferOnRequest(v view) *Decision {
	request := v.Spec.Transfer
	if request == nil {
		return nil
	}
	if request.To == "" {
		return v.nameTarget()
	}
	target := v.server(request.To)
	switch {
	case target == nil:
		return finishTransfer("there is no server %s to hand leadership to", request.To)
	case target.Name == v.Raft.Leader:
		return finishTransfer("%s leads, as requested", request.To)
	case !v.healthyVoter(*target) || !v.couldLead(*target) || !v.leaderIsStable():
		return nil
	}
	return step(TransferLeadership{From: v.Raft.Leader, To: target.Name}, reason.LeadershipTransferRequested,
		"handing leadership from %s to %s", v.Raft.Leader, target.Name)
}

func (v view) nameTarget() *Decision {
	target := v.successor()
	switch {
	case target != nil && v.couldLead(*target):
		return step(NameTransferTarget{To: target.Name}, reason.LeadershipTransferRequested,
			"leadership is going to %s", target.Name)
	case v.Spec.Replicas == 1 && len(v.Servers) == 1:
		return finishTransfer("%s is the only server, there is nobody to hand leadership to", v.Raft.Leader)
	}
	return nil
}

func finishTransfer(format string, args ...any) *Decision {
	because := fmt.Sprintf(format, args...)
	return step(FinishTransfer{Because: because}, reason.LeadershipTransferRequested, "%s", because)
}
