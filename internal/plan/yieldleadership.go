package plan

import "github.com/consul-operator/consul-operator/api/reason"

// yieldLeadership prepares for the last resort: where no other node takes a server, the servers of draining nodes are
// evicted one at a time, and come back on their volumes with their nodes. Before that, leadership goes to a server that
// stays where it is.
func yieldLeadership(v view) *Decision {
	if !v.nowhereToGo() || !v.leaderIsDrained() {
		return nil
	}
	for _, s := range v.staying {
		if !isDrained(s) && v.serves(s) && v.couldLead(s) {
			return step(TransferLeadership{From: v.Raft.Leader, To: s.Name}, reason.NodeDraining,
				"the node of %s is drained and no other node takes a server: handing leadership to %s first", v.Raft.Leader, s.Name)
		}
	}
	return nil
}
