package observe

import (
	"slices"
	"strings"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// remember fills in what only the last status tells: since when things are as they are, the catalog that the leader told
// last, and what the API server refused. Losing the status restarts these clocks, and nothing else.
func remember(s *Snapshot, now time.Time) {
	last := s.Cluster.Status
	rememberRefusal(s, last)
	rememberCatalog(s, last)
	if !s.Raft.Known {
		s.Raft.LostSince = RoundUp(now).Time
		if last.QuorumLostSince != nil {
			s.Raft.LostSince = last.QuorumLostSince.Time
		}
		return
	}
	sameLeader := last.Leader == s.Raft.Leader && uint64(last.Term) == s.Raft.Term && last.LeaderSince != nil
	s.Raft.LeaderSince = now
	if sameLeader {
		s.Raft.LeaderSince = last.LeaderSince.Time
	}
	for i := range s.Servers {
		// Autopilot has a field for this, but it tells when it first heard of the server (stable_since, 1.19.2 to 1.22.7).
		if server := &s.Servers[i]; server.Health == plan.HealthUnhealthy {
			server.UnhealthySince = now
			if before := statusOf(last, server.Name); sameLeader && before.UnhealthySince != nil {
				server.UnhealthySince = before.UnhealthySince.Time
			}
		}
	}
}

// rememberRefusal makes a problem of what the API server refused in the last pass, unless the spec has changed since.
func rememberRefusal(s *Snapshot, last v1alpha1.ConsulClusterStatus) {
	if last.Refusal == "" || last.ObservedGeneration != s.Cluster.Generation {
		return
	}
	s.Refused = &plan.Problem{
		Reason: reason.InvalidSpec, Message: "the API server refuses what the spec asks for: " + last.Refusal,
	}
	if message, taken := strings.CutPrefix(last.Refusal, NameTaken("")); taken {
		s.Refused = &plan.Problem{Reason: reason.NameTaken, Message: message}
	}
}

// NameTaken is how the status remembers that an object of a name that the cluster needs is not the cluster's.
func NameTaken(message string) string { return string(reason.NameTaken) + ": " + message }

// rememberCatalog keeps what was last known while the catalog is not told, so that one call that fails does not change the
// status.
func rememberCatalog(s *Snapshot, last v1alpha1.ConsulClusterStatus) {
	if len(s.Raft.Catalog) > 0 {
		return
	}
	for i := range s.Servers {
		s.Servers[i].Registration = plan.Registration(statusOf(last, s.Servers[i].Name).Catalog)
	}
}

// statusOf is the last status of a server; empty if it had none.
func statusOf(last v1alpha1.ConsulClusterStatus, server string) v1alpha1.ServerStatus {
	i := slices.IndexFunc(last.Servers, func(s v1alpha1.ServerStatus) bool { return s.Name == server })
	if i < 0 {
		return v1alpha1.ServerStatus{}
	}
	return last.Servers[i]
}
