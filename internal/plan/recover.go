package plan

import (
	"fmt"
	"slices"
	"strings"
)

// recoverQuorum brings a cluster back that has lost so many voters for good that no leader can be elected any more: the
// server with the newest log carries on as the only voter. What it does not have is lost, so this happens only if
// nobody who is missing could come back, or if a person gives those up by name.
func recoverQuorum(v view) *Decision {
	switch {
	case v.Spec.Recovery != nil:
		return v.carryOn(*v.Spec.Recovery)
	case v.Raft.Known && v.Spec.AcceptedLoss != nil: // a person's word is not kept for another time
		return finishRecovery("%s leads, and nobody has to be given up", v.Raft.Leader)
	case v.Raft.Known:
		return nil
	case len(v.Servers) == 0:
		return wait(lookOn, ReasonQuorumLost, "all servers are gone with their volumes: create another ConsulCluster, and restore "+
			"a snapshot (consul snapshot restore)")
	}
	return v.assessLoss()
}

// assessLoss decides whether a quorum can come back by itself, and who decides if it cannot.
func (v view) assessLoss() *Decision {
	l := v.loss()
	missing := l.missing()
	switch {
	case l.survivor == nil, l.quorumWithout(slices.Concat(l.gone, l.down)):
		return nil // nobody knows, or those who answer are about to elect a leader
	case v.Spec.AcceptedLoss != nil && !v.Spec.Paused:
		return v.acceptLoss(l, missing)
	case !l.quorumWithout(l.gone):
		return v.lostForGood(l, missing)
	}
	return nil
}

// wayOut is what a person may do where those who are missing do not come back by themselves.
func (v view) wayOut() string {
	l := v.loss()
	if l.survivor == nil || l.quorumWithout(slices.Concat(l.gone, l.stuck)) {
		return ""
	}
	return fmt.Sprintf("; if %s cannot come back, carry on with the data of %s: %s",
		strings.Join(l.missing(), ", "), l.survivor.Name, v.accepting(l.missing()))
}

// accepting is the command by which a person gives servers up.
func (v view) accepting(names []string) string {
	return fmt.Sprintf("kubectl annotate consulcluster %s --overwrite consuloperator.io/accept-loss-of=%s",
		v.Spec.Object, strings.Join(names, ","))
}

// acceptLoss does what a person says, if it says exactly what is the case.
func (v view) acceptLoss(l loss, missing []string) *Decision {
	if accepted := slices.Sorted(slices.Values(v.Spec.AcceptedLoss)); !slices.Equal(accepted, missing) {
		return wait(lookOn, ReasonQuorumLost, "the loss of %s is accepted, and those who are missing are %s: %s",
			strings.Join(accepted, ", "), strings.Join(missing, ", "), v.accepting(missing))
	}
	return l.begin(missing)
}

// lostForGood : the volumes of so many voters are gone that the others can never elect a leader. One that is only down
// may have seen more than those who answer, so a person has to give it up.
func (v view) lostForGood(l loss, missing []string) *Decision {
	gone := fmt.Sprintf("the quorum is lost for good with the volumes of %s", strings.Join(l.lost, ", "))
	down := strings.Join(l.down, ", ")
	switch {
	case v.Spec.Paused:
		return wait(lookOn, ReasonQuorumLost, "%s, and spec.paused is set: nothing is done until it is not", gone)
	case len(l.down) > len(l.stuck):
		return wait(lookOn, ReasonQuorumLost, "%s; the next step waits until %s can say what it has, which may be more than %s has",
			gone, down, l.survivor.Name)
	case len(l.down) > 0:
		return wait(lookOn, ReasonQuorumLost, "%s; %s may have more than %s has: bring it back, or give it up too: %s",
			gone, down, l.survivor.Name, v.accepting(missing))
	case v.Spec.RecoverAfter == nil:
		return wait(lookOn, ReasonQuorumLost, "%s; to carry on with the data of %s: %s", gone, l.survivor.Name, v.accepting(missing))
	}
	if at := v.Raft.LostSince.Add(*v.Spec.RecoverAfter); v.now.Before(at) {
		return wait(min(at.Sub(v.now), lookOn), ReasonRecovering, "%s; %s carries on alone at %s", gone, l.survivor.Name, clock(at))
	}
	return l.begin(missing)
}

// loss is what a cluster without a leader has lost.
type loss struct {
	// survivor has the newest log of all who answer; nil if not all of them say how they see the cluster.
	survivor *Server
	outlooks []Outlook
	// gone are the voters without a volume claim, which nobody who answers hears of: they cannot come back. lost are
	// those that the survivor counts on; others may have left long ago, and one that is behind does not know it yet.
	gone, lost []string
	// down are the servers that do not answer. They may come back, but for the stuck ones not by themselves.
	down, stuck []string
}

func (v view) loss() loss {
	var l loss
	for i := range v.Servers {
		s := &v.Servers[i]
		switch {
		case !s.Agent.Answered:
			l.down = append(l.down, s.Name)
			if s.Pod != nil && (s.Pod.Problem.Reason != "" || v.overdue(*s)) {
				l.stuck = append(l.stuck, s.Name)
			}
		case s.Agent.Outlook == nil:
			return loss{}
		case len(s.Agent.Outlook.Peers) > 0: // others have never joined, and know nothing
			l.outlooks = append(l.outlooks, *s.Agent.Outlook)
			if l.survivor == nil || newer(*s, *l.survivor) {
				l.survivor = s
			}
		}
	}
	l.gone = v.gone(l, l.outlooks...)
	if l.survivor != nil {
		l.lost = v.gone(l, *l.survivor.Agent.Outlook)
	}
	return l
}

// gone are the voters of these configurations that have no claim and that nobody hears.
func (v view) gone(l loss, configurations ...Outlook) (names []string) {
	for _, o := range configurations {
		for _, p := range o.Peers {
			if p.Voter && !v.ours(p.ID) && !l.heard(p.ID) {
				names = append(names, p.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// missing are those whom a person has to give up for a recovery.
func (l loss) missing() []string { return slices.Sorted(slices.Values(slices.Concat(l.lost, l.down))) }

// newer says whether a server has a newer log than another one, as Raft itself compares them.
func newer(a, b Server) bool {
	if a.Agent.LastTerm != b.Agent.LastTerm {
		return a.Agent.LastTerm > b.Agent.LastTerm
	}
	return a.Agent.LastIndex > b.Agent.LastIndex
}

// heard says whether a peer is alive in the eyes of anybody who answers.
func (l loss) heard(id string) bool {
	return slices.ContainsFunc(l.outlooks, func(o Outlook) bool {
		return slices.ContainsFunc(o.Members, func(m Member) bool { return m.ID == id && m.Status == MemberAlive })
	})
}

// quorumWithout says whether a leader could be elected without some servers, in the eyes of anybody who answers.
func (l loss) quorumWithout(names []string) bool {
	return slices.ContainsFunc(l.outlooks, func(o Outlook) bool {
		voters, left := 0, 0
		for _, p := range o.Peers {
			if p.Voter {
				voters++
				if !slices.Contains(names, p.Name) {
					left++
				}
			}
		}
		return left > voters/2
	})
}

func (l loss) begin(missing []string) *Decision {
	return step(BeginRecovery{Survivor: l.survivor.Name, Lost: missing}, ReasonRecovering,
		"%s has the newest data and carries on without %s", l.survivor.Name, strings.Join(missing, ", "))
}

// carryOn goes on with a recovery. Those who are given up are fenced first: their process has ended, and their volume is
// set aside. Then all others start anew and save what they have, the survivor last: it becomes the only voter.
func (v view) carryOn(r Recovery) *Decision {
	survivor := v.server(r.Survivor)
	if survivor == nil || v.lost(*survivor) {
		return cancelRecovery("%s, which was to carry on, is gone", r.Survivor)
	}
	if d := v.fence(filter(v.Servers, v.abandoned)); d != nil {
		return d
	}
	others := filter(v.Servers, func(s Server) bool { return s.Name != r.Survivor })
	for _, s := range append(others, *survivor) {
		if d := v.startAnew(s, r); d != nil {
			return d
		}
	}
	if d := v.awaitProcess(*survivor); d != nil {
		return d
	}
	return wait(lookOften, ReasonRecovering, "%s is about to lead, as the only voter", r.Survivor)
}

// fence makes sure that nobody who is given up comes back. One who is back before anybody has touched it is welcome; one
// who stops has a vote until it has stopped, and a leader who needs that vote is none to count on.
func (v view) fence(given []Server) *Decision {
	if d := v.stopGiven(given); d != nil {
		return d
	}
	for _, s := range given {
		if s.Pod != nil && s.Pod.Terminating && !v.lost(s) {
			return wait(lookSoon, ReasonRecovering, "%s is given up and stops", s.Name)
		}
	}
	if v.Raft.Known {
		return finishRecovery("%s leads: there is a quorum", v.Raft.Leader)
	}
	for _, s := range given {
		return step(QuarantineClaim{Server: s.Name}, ReasonRecovering, "%s is given up: its volume is set aside", s.Name)
	}
	return nil
}

// stopGiven stops who is given up, unless somebody leads by now.
func (v view) stopGiven(given []Server) *Decision {
	for _, s := range given {
		switch {
		case v.Raft.Known || s.Pod == nil || s.Pod.Terminating:
		case s.Agent.Answered:
			return cancelRecovery("%s, which was given up, is back", s.Name)
		default:
			return step(DeletePod{Server: s.Name}, ReasonRecovering, "%s is given up: it must not come back", s.Name)
		}
	}
	return nil
}

func finishRecovery(format string, args ...any) *Decision {
	because := fmt.Sprintf(format, args...)
	return step(FinishRecovery{Because: because}, ReasonRecovering, "%s", because)
}

func cancelRecovery(format string, args ...any) *Decision {
	because := fmt.Sprintf(format, args...)
	return step(CancelRecovery{Because: because}, ReasonRecovering, "%s", because)
}

// startAnew replaces a pod by one that saves the server's data before Consul starts. A dead node has the data as it is.
func (v view) startAnew(s Server, r Recovery) *Decision {
	switch {
	case s.Pod == nil || s.Pod.Recovery == r.ID || v.lost(s):
		return nil
	case !s.Pod.Terminating:
		return step(DeletePod{Server: s.Name}, ReasonRecovering, "%s starts anew and saves its data first", s.Name)
	case v.overdue(s):
		return wait(lookOn, ReasonRecovering, "the node of %s has not said for a while that its pod has stopped: repair the node",
			s.Name)
	}
	return wait(lookSoon, ReasonRecovering, "%s stops, to start anew", s.Name)
}

// abandoned says whether a server is given up in a recovery that is under way.
func (v view) abandoned(s Server) bool {
	return v.Spec.Recovery != nil && slices.Contains(v.Spec.Recovery.Lost, s.Name)
}
