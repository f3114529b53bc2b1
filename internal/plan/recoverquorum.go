package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/consul-operator/consul-operator/api/reason"
)

// recoverQuorum brings a cluster back that has lost so many voters for good that no leader can be elected any more: the
// server with the newest log carries on as the only voter. What it does not have is lost, so this happens only if no
// missing server could come back, or if a person gives up the missing ones by name.
func recoverQuorum(v view) *Decision {
	switch {
	case v.Spec.Recovery != nil:
		return v.carryOn(*v.Spec.Recovery)
	case v.Raft.Known && v.Spec.AcceptedLoss != nil: // an acceptance is not kept for another time
		return finishRecovery("%s leads, and no server has to be given up", v.Raft.Leader)
	case v.Raft.Known:
		return nil
	case len(v.Servers) == 0:
		return wait(steadily, reason.QuorumLost, "all servers are gone with their volumes: delete the ConsulCluster, and create it "+
			"again with spec.bootstrap.fromSnapshot")
	}
	return v.assessLoss()
}

// assessLoss decides whether a quorum can come back by itself, and who has to decide if it cannot.
func (v view) assessLoss() *Decision {
	l := v.loss()
	missing, unheard := l.missing(), slices.Concat(l.gone, l.unknown)
	switch {
	case l.survivor == nil, l.quorumWithout(slices.Concat(unheard, l.down)):
		return nil // it is not known, or the servers that answer are about to elect a leader
	case v.Spec.AcceptedLoss != nil && !v.Spec.Paused:
		return v.acceptLoss(l, missing)
	case !l.quorumWithout(unheard):
		return v.lostForGood(l, missing)
	}
	return nil
}

// acceptLoss does what a person accepted, if that names exactly the missing servers.
func (v view) acceptLoss(l loss, missing []string) *Decision {
	if accepted := slices.Sorted(slices.Values(v.Spec.AcceptedLoss)); !slices.Equal(accepted, missing) {
		return wait(steadily, reason.QuorumLost, "you accepted the loss of %s, but %s are missing: %s",
			strings.Join(accepted, ", "), strings.Join(missing, ", "), v.acceptLossCommand(missing))
	}
	return l.begin(missing)
}

// lostForGood handles a quorum that can never come back: the volumes of too many voters are gone. A server that is only down
// may have seen more than the servers that answer, so a person has to give it up.
func (v view) lostForGood(l loss, missing []string) *Decision {
	gone := l.whatIsGone()
	down := strings.Join(l.down, ", ")
	switch {
	case v.Spec.Paused:
		return wait(steadily, reason.QuorumLost, "%s, and spec.paused is set: nothing is done until it is false", gone)
	case len(l.strangers) > 0:
		return wait(steadily, reason.QuorumLost, "%s: they may have a leader of their own, and go on; connect them again, or, if you "+
			"know that they never come back, carry on with the data of %s: %s", gone, l.survivor.Name, v.acceptLossCommand(missing))
	case len(l.down) > len(l.stuck):
		return wait(steadily, reason.QuorumLost, "%s; the next step waits until %s can say what it has, which may be more than %s has",
			gone, down, l.survivor.Name)
	case len(l.down) > 0:
		return wait(steadily, reason.QuorumLost, "%s; %s may have more than %s has: bring it back, or give it up too: %s",
			gone, down, l.survivor.Name, v.acceptLossCommand(missing))
	case v.Spec.RecoverAfter == nil, v.isAdopting(): // more volumes may be on their way
		return wait(steadily, reason.QuorumLost, "%s; to carry on with the data of %s: %s",
			gone, l.survivor.Name, v.acceptLossCommand(missing))
	}
	if at := v.Raft.LostSince.Add(*v.Spec.RecoverAfter); v.now.Before(at) {
		return wait(min(at.Sub(v.now), steadily), reason.RecoveringQuorum, "%s; %s carries on alone at %s",
			gone, l.survivor.Name, clock(at))
	}
	return l.begin(missing)
}

// whatIsGone says which voters are missed for a quorum.
func (l loss) whatIsGone() string {
	if len(l.strangers) == 0 {
		return "the quorum is lost for good with the volumes of " + strings.Join(l.lost, ", ")
	}
	return fmt.Sprintf("there is no quorum without the voters %s, which are no servers of this cluster and which none of ours hears",
		strings.Join(l.strangers, ", "))
}

func (l loss) begin(missing []string) *Decision {
	return step(BeginRecovery{Survivor: l.survivor.Name, Lost: missing}, reason.RecoveringQuorum,
		"%s has the newest data and carries on without %s", l.survivor.Name, strings.Join(missing, ", "))
}

// carryOn goes on with a recovery. The servers that are given up are fenced first: their processes have ended, and their
// volumes are set aside. Then all others restart and save what they have, the survivor last: it becomes the only voter.
func (v view) carryOn(r Recovery) *Decision {
	survivor := v.server(r.Survivor)
	if survivor == nil || v.lost(*survivor) {
		return cancelRecovery("%s, which was to carry on, is gone", r.Survivor)
	}
	if d := v.fence(filter(v.Servers, v.isAbandoned)); d != nil {
		return d
	}
	others := filter(v.Servers, func(s Server) bool { return s.Name != r.Survivor })
	for _, s := range append(others, *survivor) {
		if d := v.restartAndSave(s, r); d != nil {
			return d
		}
	}
	if d := v.awaitProcess(*survivor); d != nil {
		return d
	}
	return wait(often, reason.RecoveringQuorum, "%s is about to lead, as the only voter", r.Survivor)
}

// fence makes sure that no server that is given up comes back. A server that is back before it was touched is welcome. A
// server that is stopping has a vote until it has stopped, and a leader that needs this vote cannot be counted on.
func (v view) fence(given []Server) *Decision {
	if d := v.stopGiven(given); d != nil {
		return d
	}
	for _, s := range given {
		if s.Pod != nil && s.Pod.Terminating && !v.lost(s) {
			return wait(soon, reason.RecoveringQuorum, "%s is given up and is stopping", s.Name)
		}
	}
	if v.Raft.Known {
		return finishRecovery("%s leads: there is a quorum", v.Raft.Leader)
	}
	for _, s := range given {
		return step(QuarantineClaim{Server: s.Name}, reason.RecoveringQuorum, "%s is given up: its volume is set aside", s.Name)
	}
	return nil
}

// stopGiven stops the servers that are given up, unless there is a leader by now.
func (v view) stopGiven(given []Server) *Decision {
	for _, s := range given {
		switch {
		case v.Raft.Known || s.Pod == nil || s.Pod.Terminating:
		case s.Agent.Answered:
			return cancelRecovery("%s, which was given up, is back", s.Name)
		default:
			return step(DeletePod{Server: s.Name}, reason.RecoveringQuorum, "%s is given up: it must not come back", s.Name)
		}
	}
	return nil
}

func finishRecovery(format string, args ...any) *Decision {
	because := fmt.Sprintf(format, args...)
	return step(FinishRecovery{Because: because}, reason.RecoveringQuorum, "%s", because)
}

func cancelRecovery(format string, args ...any) *Decision {
	because := fmt.Sprintf(format, args...)
	return step(CancelRecovery{Because: because}, reason.RecoveringQuorum, "%s", because)
}

// restartAndSave replaces a pod by one that saves the server's data before Consul starts. On a dead node the data stays as it is.
func (v view) restartAndSave(s Server, r Recovery) *Decision {
	switch {
	case s.Pod == nil || s.Pod.Recovery == r.ID || v.lost(s):
		return nil
	case !s.Pod.Terminating:
		return step(DeletePod{Server: s.Name}, reason.RecoveringQuorum, "%s restarts and saves its data first", s.Name)
	case v.overdue(s):
		return wait(steadily, reason.RecoveringQuorum,
			"the node of %s has not confirmed for a while that its pod has stopped: repair the node", s.Name)
	}
	return wait(soon, reason.RecoveringQuorum, "%s is stopping, to restart", s.Name)
}
