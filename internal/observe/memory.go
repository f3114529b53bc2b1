package observe

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// remember fills in what only the last status tells: since when things are as they are, the catalog that the leader told
// last, and what failed. Losing the status restarts these clocks, and nothing else.
func remember(s *Snapshot, now time.Time) {
	last := s.Cluster.Status
	rememberFailures(s, last)
	rememberWait(s, last)
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
			if before := LastStatus(last, server.Name); sameLeader && before.UnhealthySince != nil {
				server.UnhealthySince = before.UnhealthySince.Time
			}
		}
	}
}

// rememberFailures keeps what could not be done in the last pass, unless the spec has changed since: it is tried at once then.
func rememberFailures(s *Snapshot, last v1alpha1.ConsulClusterStatus) {
	if last.ObservedGeneration != s.Cluster.Generation {
		return
	}
	for _, f := range last.Failures {
		s.Failures = append(s.Failures, plan.Failure{
			Attempt: f.Attempt, Problem: plan.Problem{Reason: reason.Reason(f.Reason), Message: f.Message},
			Since: f.Since.Time, Last: f.Last.Time,
		})
	}
}

// rememberWait keeps what the operator has waited for.
func rememberWait(s *Snapshot, last v1alpha1.ConsulClusterStatus) {
	ready := meta.FindStatusCondition(last.Conditions, v1alpha1.ConditionReady)
	if ready != nil && last.WaitingSince != nil {
		s.Waited = plan.Waited{Reason: reason.Reason(ready.Reason), Since: last.WaitingSince.Time}
	}
}

// rememberCatalog keeps what was last known while the catalog is not told, so that one call that fails does not change the
// status.
func rememberCatalog(s *Snapshot, last v1alpha1.ConsulClusterStatus) {
	if s.Raft.CatalogTold {
		return
	}
	for i := range s.Servers {
		s.Servers[i].Registration = plan.Registration(LastStatus(last, s.Servers[i].Name).Catalog)
	}
}

// LastStatus is the last status of a server; empty if it had none.
func LastStatus(last v1alpha1.ConsulClusterStatus, server string) v1alpha1.ServerStatus {
	i := slices.IndexFunc(last.Servers, func(s v1alpha1.ServerStatus) bool { return s.Name == server })
	if i < 0 {
		return v1alpha1.ServerStatus{}
	}
	return last.Servers[i]
}
