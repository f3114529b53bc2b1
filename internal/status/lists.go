package status

import (
	"time"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
)

var serfStates = map[plan.MemberStatus]v1alpha1.SerfState{
	plan.MemberAbsent:  v1alpha1.SerfAbsent,
	plan.MemberAlive:   v1alpha1.SerfAlive,
	plan.MemberLeaving: v1alpha1.SerfLeaving,
	plan.MemberLeft:    v1alpha1.SerfLeft,
	plan.MemberFailed:  v1alpha1.SerfFailed,
}

// lists says where each server is in the lists that the leader has. Raft and Serf are left out while nobody leads.
func lists(status *v1alpha1.ConsulClusterStatus, s *observe.Snapshot) {
	for i, server := range s.Servers {
		one := &status.Servers[i]
		if s.Raft.Known {
			one.Raft, one.Serf = suffrage(server), serfStates[server.Member]
		}
		one.Catalog = v1alpha1.CatalogState(server.Registration)
	}
}

func suffrage(server plan.Server) v1alpha1.RaftSuffrage {
	switch {
	case server.Peer == nil:
		return v1alpha1.RaftAbsent
	case server.Peer.Voter:
		return v1alpha1.RaftVoter
	}
	return v1alpha1.RaftNonVoter
}

func disagreements(status *v1alpha1.ConsulClusterStatus, s *observe.Snapshot, now time.Time) {
	status.Disagreements = nil
	for _, d := range plan.Disagreements(s.Observation, now) {
		status.Disagreements = append(status.Disagreements, v1alpha1.Disagreement(d))
	}
}
