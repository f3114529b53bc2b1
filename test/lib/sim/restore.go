package sim

import (
	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

// How far a ConsulRestore is.
const (
	noRestore uint8 = iota
	wantedRestore
	recordedRestore // the cluster has made way
	endedRestore    // it has ended, or is gone; the record is still there

	incompleteRestore // it has ended, and nobody knows what the servers have
	nextRestore       // a person asks for another one
)

// restore is what the operator sees of it.
func (s *State) restore() *plan.Restore {
	if s.Restore == noRestore {
		return nil
	}
	restore := &plan.Restore{
		Name: "restore", UID: "1", Recorded: s.Restore >= recordedRestore, Over: s.Restore == endedRestore,
		Incomplete: s.Restore >= incompleteRestore, Ready: plan.Problem{Reason: reason.Restoring},
	}
	if s.Restore == nextRestore {
		restore.Next = &plan.Restore{Name: "next", UID: "2"}
	}
	return restore
}

// checkRestore is about what Raft refuses to restore under, or nobody could tell the outcome of.
func checkRestore(action plan.Action, s *State) *Violation {
	if s.Restore < recordedRestore || s.Restore == endedRestore {
		return nil
	}
	switch action.(type) {
	case plan.CreateServer, plan.MarkRetiring, plan.Leave, plan.ForceLeave, plan.RemovePeer, plan.TransferLeadership,
		plan.MarkFailed, plan.SetGossip, plan.SetTLS, plan.SetACLs, plan.RotateGossip, plan.RotateTokens:
		return violated(invariant.I13, "%s while a snapshot is restored", plan.NameOf(action))
	}
	return nil
}

// checkBeginRestore is about what has to be over before.
func checkBeginRestore(s *State) *Violation {
	if s.Restore == nextRestore {
		return nil // the cluster has made way for the one before
	}
	switch stage := s.tokenStage(); {
	case stage == plan.TokensComing, stage == plan.TokensGoing:
		return violated(invariant.I13, "a restore begins in the middle of a rotation of the tokens")
	case s.count(func(x *Server) bool { return x.Retiring }) > 0:
		return violated(invariant.I13, "a restore begins while a server retires")
	}
	return nil
}

// beginRestore records it. One that was deleted meanwhile has nothing to do.
func beginRestore(s *State) bool {
	if s.Restore == noRestore {
		s.Restore = endedRestore
	} else {
		s.Restore = recordedRestore
	}
	return true
}

// endRestore removes the record. The former tokens are revoked once more.
func endRestore(s *State) bool {
	if s.Restore != endedRestore {
		return false
	}
	s.Restore = noRestore
	if s.tokenStage() == plan.TokensRevoked {
		s.Tokens = uint8(plan.TokensGoing)
	}
	return true
}

func isRestoring(s *State, _ int) bool { return s.Restore == recordedRestore }

// restored is the end of its Job. The leader does not know the operator's token then, unless the snapshot had it.
func restored(s *State, _ int) {
	s.Restore = endedRestore
	s.TokensKnown = false
	if s.Founding == preparedFounding {
		s.Founding = doneFounding
	}
}

// askRestore asks for one. deleteRestore takes it back. Once it is recorded, its Job goes on for a while.
func askRestore() *kind {
	return change("a person restores a snapshot", func(s *State) bool { return s.Restore == noRestore },
		func(s *State) { s.Restore = wantedRestore })
}

func deleteRestore() *kind {
	return change("the restore is deleted", func(s *State) bool { return s.Restore == wantedRestore },
		func(s *State) { s.Restore = noRestore })
}

// restores are the scenarios in which snapshots are restored.
func restores() []Scenario {
	ask := askRestore()
	var all []Scenario
	for _, replicas := range []uint8{1, 3} {
		all = append(all,
			sized("a restore and a fault", replicas, 1, 1, 1, ask),
			sized("a restore and an upgrade", replicas, 1, 0, 2, ask, want(2)),
			inPlace(sized("a restore, an upgrade and a fault", replicas, 1, 1, 2, ask, want(2))),
			sized("a restore that is deleted", replicas, 1, 1, 2, ask, deleteRestore()),
			sized("a restore and a drain", replicas, 1, 0, 2, ask, cordon()),
			denied(sized("a restore with ACLs and a fault", replicas, 1, 1, 1, ask)),
			denied(sized("a restore and other tokens", replicas, 1, 0, 2, ask, requestTokens())),
		)
	}
	return all
}
