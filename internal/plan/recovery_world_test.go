package plan_test

import (
	"slices"

	"github.com/consul-operator/consul-operator/internal/plan"
)

// loseQuorum takes servers away with their volumes, so many that no leader is elected any more.
func (w *world) loseQuorum(names ...string) {
	for _, name := range names {
		w.raft.Leader = "" // nobody takes over
		w.lose(name)
	}
	w.raft = plan.Raft{Unknown: "nobody leads", Term: w.raft.Term, LostSince: w.now.Add(suspicionTakes)}
	for _, s := range w.servers {
		s.pending, s.Pod.Ready, s.Routed = nil, false, false
	}
}

// outlook is how all servers see a cluster in which nobody leads.
func (w *world) outlook() *plan.Outlook {
	o := &plan.Outlook{}
	for _, s := range append(slices.Clone(w.servers), w.strays...) {
		if s.Peer != nil {
			o.Peers = append(o.Peers, plan.Peer{ID: s.Peer.ID, Name: s.Peer.Name, Voter: s.Peer.Voter, Ours: true})
		}
		o.Members = append(o.Members, plan.Member{ID: s.ID, Name: s.Name, Status: s.Member})
	}
	return o
}

// leaderless hides from the operator what only a leader could tell.
func (w *world) leaderless(seen *plan.Server) {
	if w.raft.Known || w.raft.Term == 0 {
		return
	}
	seen.Peer, seen.Member, seen.Health = nil, plan.MemberAbsent, plan.HealthUnknown
	if seen.Agent.Answered {
		seen.Agent.Outlook = w.outlook()
	}
}

func (w *world) actOnRecovery(action plan.Action) bool {
	switch a := action.(type) {
	case plan.BeginRecovery:
		for _, s := range w.servers {
			if slices.Contains(a.Lost, s.Name) && s.Agent.Answered {
				w.t.Errorf("I8: %s is given up and is there", s.Name)
			}
		}
		w.spec.Recovery = &plan.Recovery{ID: "this", Survivor: a.Survivor, Lost: a.Lost}
	case plan.CancelRecovery:
		w.spec.Recovery = nil
	case plan.FinishRecovery:
		w.spec.Recovery, w.spec.AcceptedLoss = nil, nil
	default:
		return false
	}
	return true
}

// startAlone makes the survivor of a recovery forget all other voters when it starts.
func (w *world) startAlone(s *fake) {
	if r := w.spec.Recovery; r == nil || r.Survivor != s.Name {
		return
	}
	for _, other := range append(slices.Clone(w.servers), w.strays...) {
		if other != s {
			other.Peer = nil
		}
	}
	s.Peer, s.Member, s.Health = &plan.Peer{ID: s.ID, Name: s.Name, Voter: true}, plan.MemberAlive, plan.HealthHealthy
	w.after(s, aloneTakes, func() {
		w.lead(s.Name)
		for _, other := range w.servers {
			if other.Agent.Answered && other.Peer == nil {
				w.join(other)
			}
		}
	})
}
