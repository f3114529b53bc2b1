package plan

import "github.com/consul-operator/consul-operator/api/reason"

// awaitStrays waits for a person to stop a peer that is not ours and alive. Serf calls a dead one failed within seconds.
func awaitStrays(v view) *Decision {
	for _, p := range v.Raft.Peers {
		if !v.ours(p.ID) {
			return wait(steadily, reason.StrayPeer, "%s is a Raft peer and none of our servers, and Serf calls it %s; if it goes on "+
				"running, stop it where it runs", p.Name, v.memberStatus(p.ID))
		}
	}
	return nil
}
