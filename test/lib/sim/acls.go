package sim

import "github.com/consul-operator/consul-operator/internal/plan"

// acls are the scenarios in which ACLs are switched on or off, phase by phase, and tokens are lost.
func acls() []Scenario {
	allow, deny, off := grant(plan.ACLsAllow), grant(plan.ACLsDeny), grant(plan.ACLsOff)
	var all []Scenario
	for _, replicas := range []uint8{1, 3, 5} {
		all = append(all,
			denied(bootstrap(replicas, 1, 0)),
			sized("ACLs", replicas, 1, 0, 1, deny),
			sized("ACLs and a fault", replicas, 1, 1, 1, deny),
			sized("ACLs on and off", replicas, 1, 0, 2, deny, off),
			sized("ACLs and an upgrade", replicas, 1, 0, 2, allow, want(2)),
			denied(sized("tokens that are lost", replicas, 1, 1, 1, loseTokens())),
			denied(sized("an upgrade and tokens that are lost", replicas, 1, 0, 2, loseTokens(), want(2))),
		)
	}
	for _, replicas := range []uint8{1, 3} {
		all = append(all,
			inPlace(sized("ACLs and a fault", replicas, 1, 1, 1, deny)),
			inPlace(sized("ACLs on and off", replicas, 1, 1, 2, deny, off)),
			brokenBy(2, sized("ACLs, and a revision that cannot start", replicas, 1, 1, 2, deny, want(2), want(1))),
			sized("ACLs and TLS", replicas, 1, 1, 2, deny, certify(plan.TLSRequired)),
			sized("ACLs, paused and scaled", replicas, 1, 0, 4, deny, pause(), unpause(), scale(1), scale(3)),
			sized("ACLs and tokens that are lost", replicas, 1, 0, 2, deny, loseTokens()),
			unguarded(plan.ACLsAllow, sized("ACLs that keep servers from starting", replicas, 1, 1, 2, deny, off)),
			unguarded(plan.ACLsDeny, sized("ACLs that keep servers from starting at last", replicas, 1, 0, 2, deny, off)),
			unguarded(plan.ACLsAllow, denied(sized("no ACLs any more, which keeps servers from starting", replicas, 1, 0, 2, off, deny))),
		)
	}
	return all
}

// denied wants ACLs from the beginning, and whoever runs has them.
func denied(scenario Scenario) Scenario {
	scenario.Name = "with ACLs, " + scenario.Name
	s := &scenario.Start
	s.ACLs = uint8(plan.ACLsDeny)
	if s.N == 0 {
		return scenario
	}
	s.Wanted, s.TokensMade, s.TokensKnown = s.Wanted.WithACLs(plan.ACLsDeny), true, true
	for i := range s.slots() {
		s.Servers[i].Revision, s.Servers[i].PodRevision = s.Wanted, s.Wanted
	}
	return scenario
}

// unguarded makes a phase one in which no server starts.
func unguarded(phase plan.ACLPhase, scenario Scenario) Scenario {
	scenario.Start.BadACLs = uint8(phase) //nolint:gosec // 0 to 2
	return scenario
}

// loseTokens is what a snapshot does that was saved before there were tokens.
func loseTokens() *kind {
	return change("a snapshot without tokens is restored", func(s *State) bool { return s.TokensKnown && s.works() },
		func(s *State) { s.TokensKnown = false })
}

// makeTokens has the leader make the tokens, if it has ACLs.
func makeTokens(s *State) bool {
	if s.Servers[s.Leader].PodRevision.ACLs() == plan.ACLsOff {
		return false
	}
	s.TokensKnown, s.TokensMade = true, true
	if s.tokenStage() == plan.TokensRevoked { // the former ones may be back
		s.Tokens = uint8(plan.TokensGoing)
	}
	return true
}

// refuses reports whether the leader refuses the operator's token. It gets one where it denies by default, and where one was
// made.
func (s *State) refuses(kube *State) bool {
	if !s.readable() || s.TokensKnown {
		return false
	}
	phase := s.Servers[s.Leader].PodRevision.ACLs()
	return phase == plan.ACLsDeny || phase == plan.ACLsAllow && kube.TokensMade
}

// tells reports whether the leader tells the operator how the cluster is. That one leads that does not say so itself, others say.
func (s *State) tells(kube *State) bool {
	return s.readable() && !s.refuses(kube) && (!s.isMute(&s.Servers[s.Leader]) || s.count(s.speaks) > 0)
}
