package plan

import (
	"fmt"
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
	noLeader,
	prune,
	retire,
	hold,
	replaceIdle,
	transferOnRequest,
	leaderNotStable,
	create,
	retireNext,
	awaitServers,
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
	return wait(lookOften, ReasonNoLeader, "no leader: %s", v.Raft.Unknown)
}

// hold leaves a paused cluster, or one whose spec cannot be honoured, as it is.
func hold(v view) *Decision {
	if problem := v.Spec.Invalid; problem != nil {
		return wait(0, problem.Reason, "%s", problem.Message)
	}
	if v.Spec.Paused {
		return wait(0, ReasonPaused, "spec.paused is set: no server is created, replaced or retired")
	}
	return nil
}

func (v view) held() bool { return hold(v) != nil }

// leaderNotStable waits until the same leader has led for a while: a cluster that has just lost one leader is not
// asked for more.
func leaderNotStable(v view) *Decision {
	stableAt := v.Raft.LeaderSince.Add(v.Spec.LeaderStableFor)
	if !v.now.Before(stableAt) || settled(v) {
		return nil
	}
	return wait(min(stableAt.Sub(v.now), lookOn), ReasonLeaderNotStable,
		"%s leads since a moment ago; the next step waits until it has led for %s", v.Raft.Leader, v.Spec.LeaderStableFor)
}

// settled is true when no rule below would start anything voluntary.
func settled(v view) bool { return create(v) == nil && retireNext(v) == nil }

// transferOnRequest hands leadership over because a person asked for it.
func transferOnRequest(v view) *Decision {
	request := v.Spec.Transfer
	if request == nil {
		return nil
	}
	if request.To == "" {
		target := v.successor()
		if target == nil {
			return wait(lookOn, ReasonTransferRequested, "no other healthy voter could take over leadership from %s", v.Raft.Leader)
		}
		return step(NameTransferTarget{To: target.Name}, ReasonTransferRequested, "leadership is going to %s", target.Name)
	}
	target := v.server(request.To)
	switch {
	case target == nil:
		return step(FinishTransfer{}, ReasonTransferRequested, "there is no server %s to hand leadership to", request.To)
	case target.Name == v.Raft.Leader:
		return step(FinishTransfer{}, ReasonTransferRequested, "%s leads, as requested", request.To)
	case target.Retiring || !v.healthyVoter(*target):
		return wait(lookOn, ReasonTransferRequested, "%s is to take over leadership and is not a healthy voter", request.To)
	}
	return step(TransferLeadership{From: v.Raft.Leader, To: target.Name}, ReasonTransferRequested,
		"handing leadership from %s to %s", v.Raft.Leader, target.Name)
}
