package status

import (
	"slices"
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

// lists fills in each server's state in the leader's lists. Raft and Serf are omitted while there is no leader. The catalog
// keeps its last known value while the leader does not report it, so that one failed call does not change the status.
func lists(status *v1alpha1.ConsulClusterStatus, s *observe.Snapshot) {
	for i, server := range s.Servers {
		one := &status.Servers[i]
		if s.Raft.Known {
			one.Raft, one.Serf = suffrage(server), serfStates[server.Member]
		}
		if len(s.Raft.Catalog) > 0 {
			one.Catalog = inCatalog(server)
		} else {
			one.Catalog = lastInCatalog(s.Cluster.Status.Servers, server)
		}
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

func inCatalog(server plan.Server) v1alpha1.CatalogState {
	if server.Registered {
		return v1alpha1.CatalogRegistered
	}
	return v1alpha1.CatalogAbsent
}

func lastInCatalog(servers []v1alpha1.ServerStatus, server plan.Server) v1alpha1.CatalogState {
	i := slices.IndexFunc(servers, func(last v1alpha1.ServerStatus) bool { return last.ID == server.ID })
	if i < 0 {
		return ""
	}
	return servers[i].Catalog
}

func disagreements(status *v1alpha1.ConsulClusterStatus, s *observe.Snapshot, now time.Time) {
	status.Disagreements = nil
	for _, d := range plan.Disagreements(s.Observation, now) {
		status.Disagreements = append(status.Disagreements, v1alpha1.Disagreement(d))
	}
}
