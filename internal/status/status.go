// Package status builds the status that users see from an observation and a decision. It is pure.
package status

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// lagShown is the lag from which it is shown: autopilot's max_trailing_logs. A smaller one only says how busy the cluster is,
// and would make every status differ from the last.
const lagShown = 250

// Outcome is what users see of a decision that was carried out.
type Outcome struct {
	// Failures are the attempts that did not succeed.
	Failures []plan.Failure
	// Handoff is the transfer of leadership that was made; nil if there was none.
	Handoff *v1alpha1.Handoff
}

// Build returns the status of a cluster. It equals the last status if nothing that matters has changed.
func Build(s *observe.Snapshot, d plan.Decision, o Outcome, now time.Time) v1alpha1.ConsulClusterStatus {
	c := s.Cluster
	status := *c.Status.DeepCopy()
	status.ObservedGeneration = c.Generation
	status.Rule, status.Failures = d.Rule, failures(o.Failures)
	if o.Handoff != nil {
		status.LastHandoff = o.Handoff
	}
	status.Replicas = int32(len(s.Servers)) //nolint:gosec // a handful of servers
	status.Revision, status.Revisions = s.Spec.Revision, s.Revisions
	if s.Damaged == nil { // what is not a phase, the API server would refuse
		status.GossipEncryption, status.TLS, status.ACLs = resources.GossipPhase(c), resources.TLSPhase(c), resources.ACLPhase(c)
	}
	status.Adopted = adopted(s)
	status.Access = nil
	if s.Spec.Bootstrapped {
		status.Access = resources.Access(c, s.TLSName)
	}
	status.PodMonitor = podMonitor(s)
	status.NetworkPolicy = ""
	if s.Spec.Network.Kept && s.NetworkPolicy() != plan.DeletePolicy {
		status.NetworkPolicy = resources.NetworkPolicyName(c.Name)
	}
	status.Selector = labels.SelectorFromSet(resources.Selector(c)).String()
	status.VolumesRetained = volumesRetained(s)
	status.ReadyReplicas, status.UpdatedReplicas = 0, 0
	status.Servers = nil
	for _, server := range s.Servers {
		one := serverStatus(s, server)
		status.Servers = append(status.Servers, one)
		if server.Pod != nil && server.Pod.Ready && !server.Pod.Terminating {
			status.ReadyReplicas++
		}
		if one.Updated {
			status.UpdatedReplicas++
		}
	}
	status.Ready = fmt.Sprintf("%d/%d", status.ReadyReplicas, c.Spec.Replicas)
	if lowest := lowestVersion(s.Servers); lowest != "" {
		status.Version = lowest
	}
	raft(&status, s)
	quorum(&status, s, d)
	lists(&status, s)
	disagreements(&status, s, now)
	waiting(&status, s, d, now)
	conditions(&status, s, d, now)
	bound(&status)
	return status
}

// MostFailures is how many failures a status has at most: more than a cluster of seven servers in an upgrade can have.
const MostFailures = 64

// failures are what the next pass has to know of, those that only a person can end first.
func failures(all []plan.Failure) []v1alpha1.Failure {
	all = slices.SortedStableFunc(slices.Values(all), func(a, b plan.Failure) int {
		return cmp.Or(urgency(b)-urgency(a), a.Since.Compare(b.Since))
	})
	var told []v1alpha1.Failure
	for _, f := range all[:min(len(all), MostFailures)] {
		told = append(told, v1alpha1.Failure{
			Attempt: f.Attempt, Reason: string(f.Reason), Message: f.Message,
			Since: metav1.NewTime(f.Since), Last: metav1.NewTime(f.Last),
		})
	}
	return told
}

// urgency is higher for what only a person can end.
func urgency(f plan.Failure) int {
	if f.Reason.Stalls() {
		return 1
	}
	return 0
}

// volumesRetained reports whether no claim is deleted with the cluster.
func volumesRetained(s *observe.Snapshot) bool {
	owned := func(claim *corev1.PersistentVolumeClaim) bool { return resources.IsOwned(s.Cluster, claim) }
	return s.Cluster.Spec.Storage.Retention == v1alpha1.RetentionRetain &&
		!slices.ContainsFunc(s.Kept, owned) && !slices.ContainsFunc(slices.Collect(maps.Values(s.Claims)), owned)
}

// raft fills in what the leader reports. Without a leader, voters and failure tolerance keep their last known values. While ACLs
// hide the leader, everything does.
func raft(status *v1alpha1.ConsulClusterStatus, s *observe.Snapshot) {
	if s.IsLeaderHidden() {
		return
	}
	if !s.Raft.Known {
		status.Leader, status.LeaderSince = "", nil
		return
	}
	if status.Leader != s.Raft.Leader || uint64(status.Term) != s.Raft.Term || status.LeaderSince == nil {
		status.LeaderSince = since(s.Raft.LeaderSince)
	}
	status.Leader, status.Term = s.Raft.Leader, int64(s.Raft.Term)
	voters, healthy := int32(0), int32(0)
	for _, peer := range s.Raft.Peers {
		if peer.Voter {
			voters++
		}
	}
	for _, server := range s.Servers {
		if server.Peer != nil && server.Peer.Voter && server.Health == plan.HealthHealthy {
			healthy++
		}
	}
	status.Voters = voters
	status.FailureTolerance = max(0, healthy-(voters/2+1))
}

// waiting records since when the operator has waited for the same reason.
func waiting(status *v1alpha1.ConsulClusterStatus, s *observe.Snapshot, d plan.Decision, now time.Time) {
	switch {
	case !d.IsWait():
		status.WaitingSince = nil
	case status.WaitingSince == nil || s.Waited.Reason != d.Reason:
		status.WaitingSince = since(now)
	}
}

// quorum records since when the quorum is permanently lost.
func quorum(status *v1alpha1.ConsulClusterStatus, s *observe.Snapshot, d plan.Decision) {
	if s.Raft.Known || d.Reason != reason.QuorumLost && d.Reason != reason.RecoveringQuorum {
		status.QuorumLostSince = nil
		return
	}
	if status.QuorumLostSince == nil {
		status.QuorumLostSince = since(s.Raft.LostSince)
	}
}

// since returns the start of a duration, as the status stores it.
func since(t time.Time) *metav1.Time {
	rounded := observe.RoundUp(t)
	return &rounded
}

func serverStatus(s *observe.Snapshot, server plan.Server) v1alpha1.ServerStatus {
	status := v1alpha1.ServerStatus{
		Name: server.Name, ID: server.ID,
		Version: cmp.Or(server.Agent.Version, observe.LastStatus(s.Cluster.Status, server.Name).Version),
		State:   state(s, server),
		Voter:   server.Peer != nil && server.Peer.Voter,
		Leader:  s.Raft.Known && s.Raft.Leader == server.Name,
		Updated: server.Revision == s.Spec.Revision,
	}
	status.VolumeUsed = volumeUsed(s, server)
	if server.Pod != nil {
		status.Address = server.Pod.Address
		status.Message = server.Pod.Problem.Message
	}
	if server.Health == plan.HealthUnhealthy {
		status.UnhealthySince = since(server.UnhealthySince)
	}
	for _, leader := range s.Servers {
		if leader.Name == s.Raft.Leader && server.Agent.Answered && leader.Agent.LastIndex > server.Agent.LastIndex+lagShown {
			status.Lag = int64(leader.Agent.LastIndex - server.Agent.LastIndex) //nolint:gosec // indexes count up from 0
		}
	}
	return status
}

func state(s *observe.Snapshot, server plan.Server) v1alpha1.ServerState {
	pod := server.Pod
	switch {
	case server.Retiring:
		return v1alpha1.ServerRetiring
	case pod != nil && pod.Problem.Reason == reason.ServerCannotStart:
		return v1alpha1.ServerFailing
	case pod == nil || !pod.Running:
		return v1alpha1.ServerPending
	case !s.Raft.Known || !server.Agent.Answered:
		return v1alpha1.ServerUnknown
	case server.Peer == nil || !server.Peer.Voter:
		return v1alpha1.ServerJoining
	case server.Health == plan.HealthHealthy && pod.Ready:
		return v1alpha1.ServerServing
	}
	return v1alpha1.ServerUnhealthy
}

// lowestVersion returns the lowest version that runs, which is the one that users can rely on.
func lowestVersion(servers []plan.Server) string {
	var lowest *version.Version
	name := ""
	for _, server := range servers {
		v, err := version.ParseSemantic(server.Agent.Version)
		if err != nil {
			continue
		}
		if lowest == nil || v.LessThan(lowest) {
			lowest, name = v, server.Agent.Version
		}
	}
	return name
}

// podMonitor is the name of the PodMonitor that there is. One that cannot be read is still there.
func podMonitor(s *observe.Snapshot) string {
	switch live := s.PodMonitor.Live; {
	case s.PodMonitor.Unread != nil:
		return s.Cluster.Status.PodMonitor
	case live != nil && resources.Belongs(s.Cluster, live):
		return live.GetName()
	}
	return ""
}

func conditions(status *v1alpha1.ConsulClusterStatus, s *observe.Snapshot, d plan.Decision, now time.Time) {
	set := func(kind string, isTrue bool, why, message string) {
		value := metav1.ConditionFalse
		if isTrue {
			value = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: kind, Status: value, Reason: why, Message: message, ObservedGeneration: s.Cluster.Generation,
		})
	}
	decided := string(d.Reason)
	stalled := s.Spec.Invalid != nil || d.Reason.Stalls()
	set(v1alpha1.ConditionReady, d.Done, decided, d.Message)
	set(v1alpha1.ConditionReconciling, !d.Done && !stalled && d.Reason != reason.Paused, decided, d.Message)
	set(v1alpha1.ConditionStalled, stalled, decided, d.Message)
	switch {
	case s.IsLeaderHidden(): // what was so, holds
	case !s.Raft.Known:
		set(v1alpha1.ConditionAvailable, false, string(reason.NoLeader), "no leader: "+s.Raft.Unknown)
	case plan.NothingIsWritten(s.Observation, now):
		set(v1alpha1.ConditionAvailable, false, string(reason.NothingIsWritten),
			s.Raft.Leader+" leads, and too many voters have a version that cannot read its log: nothing is written")
	case status.ReadyReplicas == 0:
		set(v1alpha1.ConditionAvailable, false, string(reason.NoServingServer), "no server is in the client Service")
	default:
		set(v1alpha1.ConditionAvailable, true, string(reason.Available), "there is a leader, and servers are serving")
	}
	if open := resources.Unsecured(s.Cluster, status.NetworkPolicy != ""); len(open) > 0 {
		set(v1alpha1.ConditionSecure, false, string(reason.Unsecured), strings.Join(open, "; "))
	} else {
		set(v1alpha1.ConditionSecure, true, string(reason.Secured),
			"NetworkPolicy, gossip encryption, HTTPS only, RPC by certificate, and ACLs that deny are on")
	}
	volumeSpace(status, s)
}
