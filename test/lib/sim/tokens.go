package sim

import (
	"time"

	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

// tokenStage is how far the rotation of the ACL tokens is, as the Secret says.
func (s *State) tokenStage() plan.TokenStage { return plan.TokenStage(s.Tokens) }

// tokenRotation is what the operator sees of it.
func (s *State) tokenRotation() plan.TokenRotation {
	rotation := plan.TokenRotation{Stage: s.tokenStage(), ShownAt: longAgo, RevokedIn: 1} // every leader is one of term 1
	rotation.Replacement.Asked = s.AskTokens
	if !s.TokensShown {
		rotation.ShownAt = now.Add(time.Minute)
	}
	return rotation
}

// hasFormerTokens says whether the Secret has the former ones, with which the operator calls agents that have no others.
func (s *State) hasFormerTokens() bool {
	return s.tokenStage() == plan.TokensGoing || s.tokenStage() == plan.TokensRevoked
}

func (x *Server) hasACLs() bool { return x.PodRevision.ACLs() != plan.ACLsOff }

func areTokensUnseen(s *State, _ int) bool {
	return !s.TokensShown && s.tokenStage() == plan.TokensGoing
}
func showTokens(s *State, _ int) { s.TokensShown = true }

// A kubelet may give a pod the Secret as it was before.
func isGivenOldTokens(s *State, i int) bool {
	return s.Faults > 0 && (canStart(s, i) || canRestart(s, i)) && areTokensUnseen(s, i) && s.Servers[i].hasACLs()
}

func startWithOldTokens(s *State, i int) *Violation {
	s.Faults--
	s.Handoffs = unlimited
	do := start
	if canRestart(s, i) {
		do = restart
	}
	violation := do(s, i)
	s.Servers[i].UsesFormer = true
	return violation
}

// rotateTokens takes a step of the rotation, if the Secret is as it was seen. All but the first one ask the leader.
func rotateTokens(seen, s *State, step plan.TokenStep) bool {
	if seen.Tokens != s.Tokens || step != plan.GenerateTokens && !askedOfLeader(seen, s) {
		return false
	}
	s.SetTokenStage(map[plan.TokenStep]plan.TokenStage{
		plan.GenerateTokens: plan.TokensComing, plan.PromoteTokens: plan.TokensGoing, plan.RevokeTokens: plan.TokensRevoked,
		plan.ForgetTokens: plan.TokensSettled,
	}[step])
	return true
}

// SetTokenStage is a change of the Secret.
func (s *State) SetTokenStage(stage plan.TokenStage) {
	s.Tokens = uint8(stage) //nolint:gosec // 0 to 3
	switch stage {
	case plan.TokensComing:
		s.AskTokens = false
	case plan.TokensGoing:
		s.TokensMade, s.TokensKnown, s.TokensShown = true, true, false
		for i := range s.slots() {
			x := &s.Servers[i]
			x.UsesFormer = x.Process != Down && x.hasACLs()
			x.GivenFormer = x.Pod != PodNone && x.hasACLs()
		}
	case plan.TokensSettled, plan.TokensRevoked:
	}
}

// ReadTokens is what a server does that is told to.
func (s *State) ReadTokens(i int) bool {
	x := &s.Servers[i]
	if x.Process != Up || !s.TokensShown {
		return false
	}
	x.UsesFormer = false
	return true
}

// checkTokens asserts that nobody uses the former tokens when they lose their rights, and that nobody makes them again (I11).
func checkTokens(s *State, step plan.TokenStep) *Violation {
	for i := range s.slots() {
		x := &s.Servers[i]
		if x.Claim == ClaimNone && x.Peer == NoPeer {
			continue // it is about to end, and never leads
		}
		switch {
		case step == plan.RevokeTokens && x.UsesFormer && x.Process != Down:
			return violated(invariant.I11, "the former tokens are revoked, and #%d uses them", i)
		case step == plan.ForgetTokens && x.GivenFormer && x.Pod != PodNone:
			return violated(invariant.I11, "the former tokens are deleted, and #%d makes them again when it leads", i)
		}
	}
	if step == plan.RevokeTokens && !s.TokensShown {
		return violated(invariant.I11, "the former tokens are revoked, and a server that starts may be given them")
	}
	return nil
}

// tokensRotated says whether the rotation is over. The last step comes when servers are replaced for another cause.
func (s *State) tokensRotated() bool {
	givenFormer := s.count(func(x *Server) bool { return x.Claim != ClaimNone && x.Pod != PodNone && x.GivenFormer }) > 0
	return !s.AskTokens && (s.tokenStage() == plan.TokensSettled || s.tokenStage() == plan.TokensRevoked && givenFormer)
}

// tokenRotations are the scenarios in which the ACL tokens are rotated.
func tokenRotations() []Scenario {
	asked := requestTokens()
	var all []Scenario
	for _, replicas := range []uint8{1, 3} {
		all = append(all,
			denied(sized("other tokens", replicas, 1, 0, 2, asked)),
			denied(sized("other tokens and a fault", replicas, 1, 1, 1, asked)),
			denied(sized("other tokens and an upgrade", replicas, 1, 0, 2, asked, want(2))),
			denied(inPlace(sized("other tokens, an upgrade and a fault", replicas, 1, 1, 2, asked, want(2)))),
			denied(sized("other tokens, and tokens that are lost", replicas, 1, 0, 2, asked, loseTokens())),
			denied(sized("other tokens, and no ACLs any more", replicas, 1, 0, 2, asked, grant(plan.ACLsOff))),
		)
	}
	return append(all, denied(sized("other tokens", 5, 1, 0, 1, asked)))
}

// requestTokens asks for other tokens. It costs no change of leadership.
func requestTokens() *kind {
	return &kind{
		name: "a person asks for other ACL tokens", whole: true,
		can: func(s *State, _ int) bool { return s.Changes > 0 && !s.AskTokens && s.Wanted.ACLs() != plan.ACLsOff },
		do: quietly(func(s *State, _ int) {
			s.Changes--
			s.AskTokens = true
		}),
	}
}
