package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
)

const (
	// EndpointsSettle is how long after it left the client Service a server still answers: nodes learn of the change later
	// than the API server does.
	EndpointsSettle = time.Second
	// unconfirmed is how long a node may take to confirm that a pod has stopped, counted from the moment when its grace
	// period ends. That moment is by the API server's clock.
	unconfirmed = time.Minute
	// electionNoise is how long an unhealthy verdict is not reported: after each election autopilot calls all servers
	// unhealthy for a moment.
	electionNoise = 10 * time.Second
	// betweenPods is the least time from one pod of a server to the next where the first one fails.
	betweenPods = 10 * time.Second
	// mostFailedVolumes is how many volumes of failed servers are kept before no more servers are given up: a person has to
	// find out what is wrong.
	mostFailedVolumes = 5
)

// view is an Observation with the questions that rules ask of it.
type view struct {
	*Observation
	now time.Time
	// staying are the servers that do not retire.
	staying []Server
}

func look(o *Observation, now time.Time) view {
	return view{o, now, filter(o.Servers, func(s Server) bool { return !s.Retiring })}
}

// The cluster.

// held is why the cluster is left as it is: its spec cannot be honored, it lacks an object without which no step is taken, or
// spec.paused is set. Nil if none.
func (v view) held() *Problem {
	if v.Spec.Invalid != nil {
		return v.Spec.Invalid
	}
	if i := slices.IndexFunc(v.Failures, v.HoldsSteps); i >= 0 {
		return &v.Failures[i].Problem
	}
	if v.Spec.Paused {
		return &Problem{Reason: reason.Paused, Message: "spec.paused is set: no server is created, replaced or retired"}
	}
	return nil
}

func (v view) isHeld() bool { return v.held() != nil }

func (v view) stableAt() time.Time  { return v.Raft.LeaderSince.Add(v.Spec.LeaderStableFor) }
func (v view) leaderIsStable() bool { return !v.now.Before(v.stableAt()) }

// isSingle reports whether there is one server, updated in place, and no other one is wanted.
func (v view) isSingle() bool { return v.Spec.InPlace && v.Spec.Replicas == 1 && len(v.Servers) == 1 }

// nowhereToGo reports whether a server of a draining node waits for a replacement that no node takes.
func (v view) nowhereToGo() bool {
	return len(v.drained()) > 0 && slices.ContainsFunc(v.staying, func(s Server) bool {
		return isHomeless(s) && !v.avoidsOtherNodes(s)
	})
}

func (v view) leaderIsDrained() bool { return slices.ContainsFunc(v.drained(), v.leads) }

// Who is who.

func (v view) server(name string) *Server {
	i := slices.IndexFunc(v.Servers, func(s Server) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &v.Servers[i]
}

func (v view) ours(id string) bool {
	return slices.ContainsFunc(v.Servers, func(s Server) bool { return s.ID == id })
}

func (v view) memberStatus(id string) MemberStatus {
	i := slices.IndexFunc(v.Raft.Members, func(m Member) bool { return m.ID == id })
	if i < 0 {
		return MemberAbsent
	}
	return v.Raft.Members[i].Status
}

// current are the staying servers of the wanted revision.
func (v view) current() []Server {
	return filter(v.staying, func(s Server) bool { return !v.outdated(s) })
}

// lasting are the staying servers that have the wanted revision or will get it in place.
func (v view) lasting() []Server {
	if !v.Spec.InPlace {
		return v.current()
	}
	return filter(v.staying, hasFuture)
}

// drained are the staying servers whose node takes no pods any more, because somebody is about to empty it.
func (v view) drained() []Server { return filter(v.staying, isDrained) }

func (v view) serving() []Server { return filter(v.staying, v.serves) }

// Votes and health.

// lacksLeader reports whether nobody leads, as far as is known.
func (v view) lacksLeader() bool { return !v.Raft.Known && !v.IsLeaderHidden() }

// leads reports whether a server leads, as far as is known.
func (v view) leads(s Server) bool { return v.Raft.Known && s.Name == v.Raft.Leader }

func isVoter(s Server) bool { return s.Peer != nil && s.Peer.Voter }

// votes reports whether a server's vote counts at this moment, whatever becomes of it next.
func votes(s Server) bool {
	return isVoter(s) && s.Health == HealthHealthy && s.Member == MemberAlive && s.Agent.Answered
}

// healthyVoter reports whether a server's vote can be counted on. Raft, autopilot, Serf, Kubernetes and the server's own
// agent have to agree, because the others notice seconds later that a process has died. A server that cannot read the leader's
// log agrees to nothing.
func (v view) healthyVoter(s Server) bool {
	return votes(s) && v.canFollow(s) && s.Pod != nil && !s.Pod.Terminating
}

// isPresent reports whether a server runs, stays up, and is heard by the others.
func isPresent(s Server) bool { return s.Member == MemberAlive && staysUp(s) }

// staysUp reports whether a server runs, and nobody has told it to stop.
func staysUp(s Server) bool { return isRunning(s) && !s.Pod.Terminating }

// isMute reports whether an agent has no answer to the question about itself, and its server is there: an agent that registers
// itself does not answer that one until something is committed. A process that hangs is failed in Serf within seconds.
func isMute(s Server) bool {
	return s.Agent.Silence == SilenceUnanswered && isPresent(s)
}

// canFollow reports whether a server can read what the leader writes.
func (v view) canFollow(s Server) bool {
	leader := v.server(v.Raft.Leader)
	return leader == nil || couldFollow(s, *leader)
}

func couldFollow(s, leader Server) bool {
	return !s.Agent.ReadsOnlyOldLogs || leader.Agent.Version == "" || leader.Agent.ReadsOnlyOldLogs
}

// couldLead reports whether all could follow a server, or as many votes as are a quorum.
func (v view) couldLead(candidate Server) bool {
	follows := func(s Server) bool { return couldFollow(s, candidate) }
	votes := filter(v.Servers, func(s Server) bool { return v.voteCounts(s) && follows(s) })
	return len(filter(v.Servers, follows)) == len(v.Servers) || len(votes) >= quorum(v.voters())
}

// voters is how many the Raft configuration has.
func (v view) voters() int { return len(filter(v.Raft.Peers, func(p Peer) bool { return p.Voter })) }

// isOutvoted reports whether so many voters are gone or cannot read the leader's log that nothing is committed, whatever
// autopilot thinks of the others at this moment. One that misses an answer is there.
func (v view) isOutvoted() bool {
	follows := func(s Server) bool {
		return isVoter(s) && v.canFollow(s) && (s.Agent.Answered || isMute(s) || v.leads(s))
	}
	return len(filter(v.Servers, follows)) < quorum(v.voters())
}

// serves reports whether a server can take the place of another one, for Consul and for its clients.
func (v view) serves(s Server) bool { return v.healthyVoter(s) && s.Pod.Ready }

// voteCounts reports whether a vote is to be counted when another server goes. Nobody stops a server whose node is silent,
// and its vote may be needed until it is replaced.
func (v view) voteCounts(s Server) bool {
	return v.healthyVoter(s) || v.overdue(s) && votes(s) && v.canFollow(s)
}

// enoughWithout reports whether the cluster can do without a server, where toKeep serving voters have to stay (I2). Those
// whose vote counts have to be a quorum of the Raft configuration that results (I1), strays and unhealthy servers included.
// They have to be a quorum now as well: without one Raft removes nobody, and a dead server that is to go may be the one
// that has to come back first.
func (v view) enoughWithout(leaving Server, toKeep int) bool {
	serving := filter(v.staying, func(s Server) bool { return s.Name != leaving.Name && v.serves(s) })
	votes := len(filter(v.Servers, v.voteCounts))
	voters := v.voters()
	votesAfter, votersAfter := votes, voters
	if v.voteCounts(leaving) {
		votesAfter--
	}
	if isVoter(leaving) {
		votersAfter--
	}
	return len(serving) >= toKeep && votesAfter >= quorum(votersAfter) && votes >= quorum(voters)
}

func quorum(voters int) int { return voters/2 + 1 }

// toKeep is how many serving voters have to stay when a retiring server goes (I2): one less if it comes back.
func (v view) toKeep(retiring Server) int {
	if retiring.InPlace {
		return v.toKeepInPlace()
	}
	return v.Spec.Replicas
}

func (v view) toKeepInPlace() int { return v.Spec.Replicas - 1 }

// successor is the server to hand leadership to: a healthy voter that stays, preferably one that a quorum could follow, then
// one of the wanted revision, since that one will not have to hand over again; then the one with the longest log, then the
// newest. Nil if there is none.
func (v view) successor() *Server {
	candidates := filter(v.staying, func(s Server) bool { return !v.leads(s) && v.healthyVoter(s) })
	if len(candidates) == 0 {
		return nil
	}
	best := slices.MaxFunc(candidates, func(a, b Server) int {
		return cmp.Or(
			compareBool(v.couldLead(a), v.couldLead(b)),
			compareBool(!v.outdated(a), !v.outdated(b)),
			cmp.Compare(a.Agent.LastIndex, b.Agent.LastIndex),
			cmp.Compare(a.Serial, b.Serial))
	})
	return &best
}

// What a server is, and what becomes of it.

// takesPart reports whether the cluster knows a server: it is a Raft peer, or Serf has not seen it leave.
func takesPart(s Server) bool { return s.Peer != nil || heard(s.Member) || s.Member == MemberFailed }

// heard reports whether Serf hears a member.
func heard(status MemberStatus) bool { return status == MemberAlive || status == MemberLeaving }

// lostToSerf reports whether Serf has lost a server: it calls it failed, or does not know a peer. A leader that restarted
// never learns of a member that had failed before.
func lostToSerf(s Server) bool {
	return s.Member == MemberFailed || s.Member == MemberAbsent && s.Peer != nil
}

// hasFuture is false for a server that has to go whatever its revision.
func hasFuture(s Server) bool { return mayComeBack(s) && !s.WrongVolume }

// mayComeBack reports whether a server that has left can come back on its volume. One whose volume is not the wanted one comes
// back first, and goes when another one is there.
func mayComeBack(s Server) bool { return !s.ClaimDeleting && !s.Failed && !isDrained(s) }

// outdated reports whether a server has to be replaced or updated.
func (v view) outdated(s Server) bool { return !hasFuture(s) || v.hasOtherRevision(s) }

// hasOtherRevision reports whether a server does not have the wanted revision. The pod counts where the server takes part:
// it may have been created a moment before its claim got another revision.
func (v view) hasOtherRevision(s Server) bool {
	return s.Revision != v.Spec.Revision || takesPart(s) && s.Pod != nil && v.isOutdatedPod(*s.Pod)
}

// hasOutdatedPod reports whether a server's pod is to be replaced and is not being deleted yet.
func (v view) hasOutdatedPod(s Server) bool {
	return s.Pod != nil && v.isOutdatedPod(*s.Pod) && !s.Pod.Terminating
}

// isOutdatedPod reports whether a pod does not have the wanted revision, or cannot be given the settings that are wanted.
func (v view) isOutdatedPod(p Pod) bool {
	return p.Revision != v.Spec.Revision || v.Spec.Settings != "" && !p.Reloads
}

// isWanted reports whether a server is not surplus beside those that last.
func (v view) isWanted(s Server) bool {
	others := filter(v.lasting(), func(other Server) bool { return other.Name != s.Name })
	return len(others) < v.Spec.Replicas
}

// updatable reports whether a server is to get the wanted revision on its volume. Surplus servers go first, and a server
// whose node is silent is not waited for.
func (v view) updatable(s Server) bool {
	return v.Spec.InPlace && v.outdated(s) && hasFuture(s) && v.isWanted(s) && !v.overdue(s)
}

// isAbandoned reports whether a server is given up in a recovery that is under way.
func (v view) isAbandoned(s Server) bool {
	return v.Spec.Recovery != nil && slices.Contains(v.Spec.Recovery.Lost, s.Name)
}

// canLeave reports whether a server can be asked to leave: it is alive, and nothing else stops it.
func (v view) canLeave(s Server) bool {
	return s.Member == MemberAlive && s.Pod != nil && (!s.Pod.Terminating || v.overdue(s) && s.Agent.Answered)
}

// hasClients reports whether the client Service sends connections to a server, or did until a moment ago.
func (v view) hasClients(s Server) bool {
	return s.Routed || !s.Pod.Terminating && v.servedLately(*s.Pod)
}

func (v view) servedLately(p Pod) bool {
	return p.Serving || v.now.Before(p.ServingFrom.Add(EndpointsSettle))
}

// Failures.

// overdue reports whether a pod should have been gone for a while. Its node does not confirm it, and is most likely dead.
func (v view) overdue(s Server) bool {
	return s.Pod != nil && s.Pod.Terminating && v.now.After(s.Pod.StopBy.Add(unconfirmed))
}

// lost reports whether nothing is heard of a server that should have stopped: neither its node nor its agent answers.
func (v view) lost(s Server) bool { return v.overdue(s) && !s.Agent.Answered }

// isSick reports whether autopilot calls a voter unhealthy. It is about voters only: a server without a vote that does not
// start has a problem in its spec, and another server would not start either.
func (v view) isSick(s Server) bool {
	return isVoter(s) && s.Health == HealthUnhealthy && !s.UnhealthySince.IsZero()
}

// lags reports whether autopilot alone calls a voter unhealthy: its process answers, and Serf hears it.
func (v view) lags(s Server) bool {
	return v.isSick(s) && (s.Agent.Answered || isMute(s)) && s.Member == MemberAlive
}

// othersLagToo reports whether a voter that lags is one of several. Slow disks or a slow network are no fault of theirs, and new
// servers would have to copy all data over them.
func (v view) othersLagToo(s Server) bool { return v.lags(s) && len(filter(v.Servers, v.lags)) > 1 }

// isCutOff reports whether Serf has had the time to notice that a server is back, and has not: the others do not hear it.
func (v view) isCutOff(s Server) bool {
	return !s.UnhealthySince.IsZero() && v.now.After(s.UnhealthySince.Add(unconfirmed))
}

func (v view) replacedAt(s Server) time.Time { return s.UnhealthySince.Add(v.Spec.ReplaceFailedAfter) }

func hasFailed(s Server) bool { return s.Failed }

// whyNotReplaced says why no server is given up for now; empty if one may be.
func (v view) whyNotReplaced() string {
	switch {
	case v.Spec.ReplacementsLeft == 0:
		return "spec.failureReplacement.maxPerHour is used up"
	case len(v.FailedVolumes)+len(filter(v.Servers, hasFailed)) >= mostFailedVolumes:
		return fmt.Sprintf("at most %d volumes of failed servers are kept; look at them and delete the claims: %s",
			mostFailedVolumes, strings.Join(v.FailedVolumes, ", "))
	}
	return ""
}

// prospect says what becomes of a voter that stays unhealthy, or whose node does not confirm that its pod has stopped.
func (v view) prospect(s Server) string {
	sick := v.isSick(s) && !v.now.Before(s.UnhealthySince.Add(electionNoise))
	why := v.whyNotReplaced()
	switch {
	case v.Spec.ReplaceFailedAfter == 0 || s.Failed || !sick && !v.overdue(s):
		return ""
	case v.othersLagToo(s):
		return "; it is not replaced, since other voters lag as well: look at disks, network and write load"
	case why != "":
		return "; it is not replaced: " + why
	case !sick:
		return ""
	}
	return "; it is replaced at " + clock(v.replacedAt(s)) + " unless it recovers"
}

// Nodes.

func isDrained(s Server) bool { return s.Pod != nil && s.Pod.Cordoned }

// isHomeless reports whether no node takes a server.
func isHomeless(s Server) bool {
	return !takesPart(s) && s.Pod != nil && s.Pod.Problem.Reason == reason.Unschedulable
}

// drainedNodes are the nodes that new pods avoid, even after the drain. Otherwise a pending replacement would be scheduled
// first and take the place of the server whose volume is on that node.
func (v view) drainedNodes() []string {
	var nodes []string
	for _, s := range v.drained() {
		nodes = append(nodes, s.Pod.Node)
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// avoidsOtherNodes reports whether a pod that no node takes avoids other nodes than a new pod would. While a server is
// missing nothing changes: it may have been evicted, and its place is to be free when it comes back.
func (v view) avoidsOtherNodes(s Server) bool {
	return isHomeless(s) && !s.Pod.Terminating && len(v.serving()) >= v.Spec.Replicas &&
		!slices.Equal(s.Pod.Avoids, v.drainedNodes())
}

// Small helpers.

// annotationPrefix is what the operator's annotations begin with.
const annotationPrefix = "consuloperator.io/"

// annotateCommand is the command with which a person confirms something to the operator.
func (v view) annotateCommand(key, value string) string {
	return fmt.Sprintf("kubectl annotate consulcluster %s --overwrite %s%s=%s", v.Spec.Object, annotationPrefix, key, value)
}

// clock is a time of day for people. A time to come says more than a duration, which would change with each observation.
func clock(t time.Time) string { return t.UTC().Format("15:04:05 MST") }

func filter[T any](all []T, keep func(T) bool) []T {
	var kept []T
	for i := range all {
		if !keep(all[i]) {
			continue
		}
		if kept == nil {
			kept = make([]T, 0, len(all)-i)
		}
		kept = append(kept, all[i])
	}
	return kept
}

// compareBool puts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
