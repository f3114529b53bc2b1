package plan

import (
	"fmt"
	"slices"
	"time"
)

// How soon to look again.
const (
	// lookSoon is for what takes milliseconds: an endpoint that goes, a server that leaves.
	lookSoon = 100 * time.Millisecond
	// lookOften is for what takes seconds: a process that starts, a promotion.
	lookOften = 500 * time.Millisecond
	// lookOn is for what may take long.
	lookOn = time.Second
)

// EndpointsSettle is how long after leaving the client Service a server still answers: a node learns of the change
// later than the API server does.
const EndpointsSettle = time.Second

// rules in the order in which they decide; see the package documentation.
var rules = []func(view) *Decision{
	deleting,
	bootstrap,
	recoverQuorum,
	reviseOnly,
	noLeader,
	prune,
	retire,
	hold,
	replaceIdle,
	transferOnRequest,
	leaderNotStable,
	leaveInPlace,
	giveUp,
	create,
	retireNext,
	awaitTransfer,
	awaitServers,
	awaitStrays,
}

// Plan decides what to do next.
func Plan(o Observation, now time.Time) Decision {
	v := view{Observation: o, now: now}
	decision := Decision{Done: true, Reason: ReasonHealthy, Message: "all servers are healthy voters and serve"}
	for _, rule := range rules {
		if d := rule(v); d != nil {
			decision = *d
			break
		}
	}
	decision.Upkeep = upkeep(v)
	if len(decision.Upkeep) > 0 && decision.LookAgain == 0 {
		decision.LookAgain = lookSoon
	}
	return decision
}

// view is an observation with the questions that rules ask of it.
type view struct {
	Observation
	now time.Time
}

// step takes an action and looks again at once: what follows depends on what it did.
func step(action Action, reason Reason, format string, args ...any) *Decision {
	return &Decision{Step: action, Reason: reason, Message: fmt.Sprintf(format, args...), LookAgain: lookSoon}
}

// wait says what is waited for.
func wait(after time.Duration, reason Reason, format string, args ...any) *Decision {
	return &Decision{Reason: reason, Message: fmt.Sprintf(format, args...), LookAgain: after}
}

func deleting(v view) *Decision {
	if !v.Spec.Deleting {
		return nil
	}
	return wait(0, ReasonDeleting, "the cluster is being deleted")
}

// noLeader stops everything below: who is a voter, who is healthy and who is dead is the leader's to say.
func noLeader(v view) *Decision {
	if v.Raft.Known {
		return nil
	}
	return wait(lookOften, ReasonNoLeader, "no leader: %s%s", v.Raft.Unknown, v.wayOut())
}

// hold leaves a paused cluster, or one whose spec cannot be honored, as it is.
func hold(v view) *Decision {
	if problem := v.Spec.Invalid; problem != nil {
		return wait(v.lookOnlyOn(), problem.Reason, "%s", problem.Message)
	}
	if v.Spec.Paused {
		return wait(v.lookOnlyOn(), ReasonPaused, "spec.paused is set: no server is created, replaced or retired")
	}
	return nil
}

// lookOnlyOn is how often to look at a cluster that is left as it is. A server that is on its way goes on by itself, and
// nobody tells when it becomes a voter.
func (v view) lookOnlyOn() time.Duration {
	if slices.ContainsFunc(v.Servers, func(s Server) bool { return !v.healthyVoter(s) }) {
		return lookOn
	}
	return 0
}

func (v view) held() bool { return hold(v) != nil }

// leaderNotStable waits until the same leader has led for a while: a cluster that has just lost one leader is not
// asked for more.
func leaderNotStable(v view) *Decision {
	if v.leaderIsStable() || settled(v) {
		return nil
	}
	return v.awaitStableLeader()
}

func (v view) awaitStableLeader() *Decision {
	return wait(min(v.stableAt().Sub(v.now), lookOn), ReasonLeaderNotStable,
		"%s leads since a moment ago; the next step waits until it has led for %s", v.Raft.Leader, v.Spec.LeaderStableFor)
}

func (v view) stableAt() time.Time  { return v.Raft.LeaderSince.Add(v.Spec.LeaderStableFor) }
func (v view) leaderIsStable() bool { return !v.now.Before(v.stableAt()) }

// settled is true when no rule below would start anything voluntary.
func settled(v view) bool {
	return leaveInPlace(v) == nil && giveUp(v) == nil && create(v) == nil && retireNext(v) == nil
}

// transferOnRequest hands leadership over because a person asked for it. A request that cannot be fulfilled now holds
// up nothing else; awaitTransfer says what it waits for.
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
	case !v.healthyVoter(*target) || !v.leaderIsStable():
		return nil
	}
	return step(TransferLeadership{From: v.Raft.Leader, To: target.Name}, ReasonTransferRequested,
		"handing leadership from %s to %s", v.Raft.Leader, target.Name)
}

func (v view) nameTarget() *Decision {
	target := v.successor()
	switch {
	case target != nil:
		return step(NameTransferTarget{To: target.Name}, ReasonTransferRequested, "leadership is going to %s", target.Name)
	case v.Spec.Replicas == 1 && len(v.Servers) == 1:
		return finishTransfer("%s is the only server, there is nobody to hand leadership to", v.Raft.Leader)
	}
	return nil
}

func finishTransfer(format string, args ...any) *Decision {
	because := fmt.Sprintf(format, args...)
	return step(FinishTransfer{Because: because}, ReasonTransferRequested, "%s", because)
}

// awaitTransfer says what a person's request waits for.
func awaitTransfer(v view) *Decision {
	switch request := v.Spec.Transfer; {
	case request == nil:
		return nil
	case !v.leaderIsStable():
		return v.awaitStableLeader()
	case request.To == "":
		return wait(lookOn, ReasonTransferRequested, "no other healthy voter could take over leadership from %s", v.Raft.Leader)
	default:
		return wait(lookOn, ReasonTransferRequested, "%s is to take over leadership and is not a healthy voter", request.To)
	}
}
