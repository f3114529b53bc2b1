package plan

import "github.com/consul-operator/consul-operator/api/reason"

// awaitTerm waits for a leader that tells its term.
func awaitTerm(v view) *Decision {
	if v.Raft.Term > 0 || v.Raft.MinQuorum > 0 {
		return nil
	}
	return wait(often, reason.NoLeader, "%s leads and does not tell its term", v.Raft.Leader)
}
