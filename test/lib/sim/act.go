package sim

import (
	"fmt"
	"slices"

	"github.com/consul-operator/consul-operator/internal/plan"
)

// act does what an action asks for. seen is the state that the action was planned in: effects carry preconditions, and
// are refused where the world has moved on, as internal/execute does it. It says whether the action was done.
func act(action plan.Action, seen, s *State) bool {
	switch a := action.(type) {
	case plan.CreateServer:
		return sameClaims(seen, s) && sameRecord(seen, s) && create(s, a)
	case plan.RecordBootstrapped:
		return sameRecord(seen, s) && set(&s.Bootstrapped, true)
	case plan.NameTransferTarget:
		return sameRecord(seen, s) && setTransfer(s, int8(slot(a.To))) //nolint:gosec // at most maxServers
	case plan.FinishTransfer:
		return sameRecord(seen, s) && setTransfer(s, noTransfer)
	case plan.BeginRecovery:
		return sameClaims(seen, s) && sameRecord(seen, s) && beginRecovery(s, a)
	case plan.CancelRecovery:
		return sameRecord(seen, s) && cancelRecovery(s)
	case plan.FinishRecovery:
		return sameRecord(seen, s) && finishRecovery(s)
	case plan.BeginRestore:
		return sameRecord(seen, s) && beginRestore(s)
	case plan.EndRestore:
		return sameRecord(seen, s) && endRestore(s)
	case plan.TakeSnapshot, plan.BeginFounding, plan.AskRestore, plan.EndFounding:
		return actOnSaves(action, seen, s)
	case plan.SetGossip:
		return sameClaims(seen, s) && sameRecord(seen, s) && setPhase(s, s.Wanted.WithGossip(a.Phase))
	case plan.SetTLS:
		return sameClaims(seen, s) && sameRecord(seen, s) && setPhase(s, s.Wanted.WithTLS(a.Phase))
	case plan.SetACLs:
		return sameClaims(seen, s) && sameRecord(seen, s) && setPhase(s, s.Wanted.WithACLs(a.Phase))
	case plan.MakeTokens:
		return askedOfLeader(seen, s) && makeTokens(s)
	case plan.RotateTokens:
		return rotateTokens(seen, s, a.Step)
	case plan.RotateGossip:
		return sameClaims(seen, s) && rotate(seen, s, a.Step)
	case plan.SetMinAvailable:
		return sameClaims(seen, s) && seen.MinAvailable == s.MinAvailable && setMinAvailable(s, a)
	case plan.SetMinQuorum:
		return askedOfLeader(seen, s) && setMinQuorum(s, a)
	case plan.TransferLeadership:
		return sameClaims(seen, s) && askedOfLeader(seen, s) && transfer(s, slot(a.To))
	case plan.ForceLeave:
		return sameClaims(seen, s) && s.Leader == seen.Leader && s.leads() && s.readable() && forceLeave(s, slot(a.Node))
	case plan.RemovePeer:
		return sameClaims(seen, s) && askedOfLeader(seen, s) && removeByOperator(s, slot(a.Name))
	}
	return actOnServer(action, seen, s)
}

func actOnServer(action plan.Action, seen, s *State) bool {
	i := slot(serverOf(action))
	x := &s.Servers[i]
	switch a := action.(type) {
	case plan.CreatePod:
		return createPod(seen, s, i, a.Avoid)
	case plan.DeletePod:
		return sameClaims(seen, s) && deletePod(seen, s, i)
	case plan.DeleteOrphan:
		return sameClaims(seen, s) && deletePod(seen, s, i)
	case plan.SetRevision:
		if !sameClaim(&seen.Servers[i], x) {
			return false
		}
		x.Revision, x.Retiring, x.InPlace = seen.Wanted, false, false
		return true
	case plan.MarkRetiring:
		return sameClaims(seen, s) && set(&x.Retiring, true) && set(&x.InPlace, a.InPlace)
	case plan.MarkFailed:
		return sameClaims(seen, s) && set(&x.Failed, true)
	case plan.UnmarkFailed:
		return sameClaim(&seen.Servers[i], x) && set(&x.Failed, false)
	case plan.UnmarkRetiring:
		return sameClaim(&seen.Servers[i], x) && unmark(x)
	case plan.ReadTokens:
		return s.ReadTokens(i)
	case plan.StartServing:
		return gate(x, true)
	case plan.StopServing:
		return gate(x, false)
	case plan.Leave:
		if !sameClaims(seen, s) || x.Process != Up {
			return false
		}
		leave(s, i)
		return true
	case plan.ReleaseClaim:
		if !sameClaims(seen, s) {
			return false
		}
		loseClaim(s, i)
		return true
	case plan.QuarantineClaim:
		if !sameClaims(seen, s) {
			return false
		}
		setAside(x)
		return true
	}
	panic(fmt.Sprintf("no effect for %T", action))
}

// serverOf is the server that an action is about.
func serverOf(action plan.Action) string {
	switch a := action.(type) {
	case plan.CreatePod:
		return a.Server
	case plan.ReadTokens:
		return a.Server
	case plan.DeletePod:
		return a.Server
	case plan.DeleteOrphan:
		return a.Pod
	case plan.SetRevision:
		return a.Server
	case plan.MarkRetiring:
		return a.Server
	case plan.MarkFailed:
		return a.Server
	case plan.UnmarkFailed:
		return a.Server
	case plan.UnmarkRetiring:
		return a.Server
	case plan.StartServing:
		return a.Server
	case plan.StopServing:
		return a.Server
	case plan.Leave:
		return a.Server
	case plan.ReleaseClaim:
		return a.Server
	case plan.QuarantineClaim:
		return a.Server
	}
	panic(fmt.Sprintf("%T is about no server", action))
}

func slot(name string) int {
	i := slices.Index(names[:], name)
	if i < 0 {
		panic("no server is called " + name)
	}
	return i
}

func set(field *bool, value bool) bool {
	*field = value
	return true
}

func unmark(x *Server) bool {
	x.Retiring, x.InPlace = false, false
	return true
}

// sameClaims is the check that the claims have not changed, which is made against the API server itself.
func sameClaims(seen, s *State) bool {
	for i := range s.Servers {
		if !sameClaim(&seen.Servers[i], &s.Servers[i]) {
			return false
		}
	}
	return true
}

// sameClaim is the resourceVersion of a claim.
func sameClaim(a, b *Server) bool {
	return a.Claim == b.Claim && a.Revision == b.Revision && a.Retiring == b.Retiring && a.InPlace == b.InPlace &&
		a.Failed == b.Failed
}

// sameRecord is the resourceVersion of the ConsulCluster.
func sameRecord(seen, s *State) bool {
	return seen.Replicas == s.Replicas && seen.Wanted == s.Wanted && seen.Gossip == s.Gossip && seen.TLS == s.TLS &&
		seen.Paused == s.Paused && seen.Rotate == s.Rotate && seen.AskTokens == s.AskTokens &&
		seen.InPlace == s.InPlace && (seen.Restore >= recordedRestore) == (s.Restore >= recordedRestore) &&
		(seen.Founding >= recordedFounding) == (s.Founding >= recordedFounding) &&
		seen.Bootstrapped == s.Bootstrapped && seen.Transfer == s.Transfer && sameRecovery(seen, s)
}

// samePod is the UID and resourceVersion of a pod: its status counts.
func samePod(seen, s *State, i int) bool {
	a, b := seen.Servers[i], s.Servers[i]
	return a.Pod == b.Pod && a.PodRevision == b.PodRevision && a.Serving == b.Serving &&
		a.runsInPod() == b.runsInPod() && seen.ready(&a) == s.ready(&b)
}

func (x *Server) runsInPod() bool { return x.Process != Down && !x.outlives() }

// askedOfLeader reports whether a call reaches the leader: most calls go to the agent that led when the operator observed.
func askedOfLeader(seen, s *State) bool { return s.Leader == seen.Leader && s.works() && s.readable() }

func create(s *State, a plan.CreateServer) bool {
	if int(s.N) == maxServers {
		panic("more servers than the model has room for")
	}
	s.Servers[s.N] = Server{Claim: ClaimBound, Revision: s.Wanted, Founder: a.BootstrapExpect > 0}
	s.N++
	if a.BootstrapExpect > 0 {
		s.Expect = uint8(a.BootstrapExpect) //nolint:gosec // a handful of servers
	}
	return true
}

// createPod trusts the claim as it was seen: it may have another revision by now, or be gone.
func createPod(seen, s *State, i int, avoid []string) bool {
	x := &s.Servers[i]
	if x.Pod != PodNone {
		return false
	}
	x.Avoids = 0
	for _, node := range avoid { // each server has a node of its own, which is called as it is
		x.Avoids |= 1 << slot(node)
	}
	x.Pod, x.PodRevision, x.PodFounder = PodPending, seen.Servers[i].Revision, seen.Servers[i].Founder && !seen.Bootstrapped
	x.Serving, x.Settled, x.PodRescue, x.GivenFormer = false, true, rescueOf(seen, i), areTokensUnseen(s, i)
	return true
}

// deletePod deletes a pod; one that never ran, or has ended, is gone at once.
func deletePod(seen, s *State, i int) bool {
	if !samePod(seen, s, i) {
		return false
	}
	x := &s.Servers[i]
	switch x.Pod {
	case PodPending:
	case PodFinished: // the API server waits for no kubelet
		vanish(s, i)
		return true
	case PodLost:
		x.Pod = PodStuck
		return true
	case PodStuck, PodOverdue:
		return true
	default:
		x.Pod = PodTerminating
		return true
	}
	x.Pod, x.PodRevision, x.PodFounder, x.Settled, x.PodRescue = PodNone, Revision{}, false, false, NoRescue
	return true
}

func gate(x *Server, serving bool) bool {
	if x.Pod == PodNone {
		return false
	}
	x.Serving, x.Settled = serving, false
	return true
}

func setTransfer(s *State, to int8) bool {
	s.Transfer = to
	return true
}

// setPhase makes a revision of another phase wanted, so leadership moves once more.
func setPhase(s *State, wanted Revision) bool {
	s.Wanted = wanted
	if s.Handoffs < unlimited {
		s.Handoffs++
	}
	return true
}

func setMinQuorum(s *State, a plan.SetMinQuorum) bool {
	s.MinQuorum = uint8(a.Servers) //nolint:gosec // a handful of servers
	return true
}

func setMinAvailable(s *State, a plan.SetMinAvailable) bool {
	s.MinAvailable = uint8(a.Pods) //nolint:gosec // a handful of pods
	return true
}

// transfer to a server that cannot take over leaves the cluster without a leader for a while.
func transfer(s *State, to int) bool {
	if s.Handoffs > 0 && s.Handoffs < unlimited {
		s.Handoffs--
	}
	if s.Servers[to].Peer == NoPeer {
		return false // Consul does not know it, and says so
	}
	if x := &s.Servers[to]; x.Peer != Voter || !x.heard() || x.Behind {
		stepDown(s, 0)
		return true
	}
	s.lead(to)
	return true
}

// forceLeave of a member that is alive is refuted by it.
func forceLeave(s *State, i int) bool {
	x := &s.Servers[i]
	if x.heard() {
		return false
	}
	if x.Serf == Failed || x.Serf == LeavingSerf {
		removePeer(s, i)
		x.Serf = Left
	}
	return true
}

func removeByOperator(s *State, i int) bool {
	removePeer(s, i)
	return true
}
