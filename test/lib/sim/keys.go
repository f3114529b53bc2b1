package sim

import (
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

// Ring is the gossip keys that a server has on its volume. Key A is the present one, B the one that takes its place; when a
// rotation is over, B is called A. A server without keys has none of these bits.
type Ring uint8

// The bits of a Ring. A server with keys encrypts with A, unless it uses B.
const (
	HasA Ring = 1 << iota
	HasB
	UsesB
)

// primary is the key that a server encrypts with.
func (r Ring) primary() Ring {
	switch {
	case r == 0:
		return 0
	case r&UsesB != 0:
		return HasB
	}
	return HasA
}

// hear reports whether two servers understand each other. Whoever has no key sends unencrypted: see TestGossipPhases.
func (r Ring) hear(other Ring) bool {
	return r == 0 || other == 0 || r&other.primary() != 0 && other&r.primary() != 0
}

// keyStage is how far the rotation is, as the Secret says.
func (s *State) keyStage() plan.KeyStage { return plan.KeyStage(s.Keys) }

// given are the keys of the Secret, which a pod gives to its server before it starts.
func (s *State) given(r Revision) Ring {
	if r.Gossip() == plan.GossipOff {
		return 0
	}
	return givenAt(s.keyStage())
}

// givenAt are the keys of the Secret at a stage.
func givenAt(stage plan.KeyStage) Ring {
	switch stage {
	case plan.KeySettled, plan.KeyUnknown:
	case plan.KeyComing:
		return HasA | HasB
	case plan.KeyGoing:
		return HasA | HasB | UsesB
	case plan.KeyRemoving:
		return HasB | UsesB
	}
	return HasA
}

// A kubelet may give a pod the Secret as it was before, or even before that, if it was changed again too soon.
func isGivenOldKeys(s *State, i int) bool {
	return s.Faults > 0 && canStart(s, i) && !s.KeysShown && s.keyStage() != plan.KeySettled &&
		s.Servers[i].PodRevision.Gossip() != plan.GossipOff
}

func startWithOldKeys(s *State, i int) *Violation {
	s.Faults--
	s.Handoffs = unlimited
	ago := plan.KeyStage(1)
	if s.KeysLate {
		ago = 2
	}
	return startWith(s, i, givenAt(max(plan.KeySettled, s.keyStage()-ago)))
}

func areKeysUnseen(s *State, _ int) bool { return !s.KeysShown && s.keyStage() != plan.KeySettled }
func showKeys(s *State, _ int)           { s.KeysShown, s.KeysLate = true, false }

// setKeys changes the Secret.
func (s *State) setKeys(stage plan.KeyStage) {
	s.KeysLate = !s.KeysShown && s.keyStage() != plan.KeySettled
	s.Keys, s.KeysShown = uint8(stage), false //nolint:gosec // 0 to 3
}

// keyring is what the members of Serf have of the new key, or of the only one. One that does not answer is waited for, and
// then there is no answer.
func (s *State) keyring() (ring plan.Keyring, unanswered string) {
	key, others := HasB, Ring(0)
	if s.keyStage() == plan.KeySettled {
		key = HasA
	}
	for i := range s.slots() {
		x := &s.Servers[i]
		switch {
		case x.Serf != Alive:
			continue
		case !x.heard(), x.Ring == 0:
			return plan.Keyring{}, "a member does not answer, or has no key"
		}
		ring.Members++
		if x.Ring&key != 0 {
			ring.HaveKey++
		}
		if x.Ring.primary() == key {
			ring.UseKey++
		}
		others |= x.Ring & (HasA | HasB) &^ key
	}
	if others != 0 {
		ring.OtherKeys = 1
	}
	return ring, ""
}

// changeKeyring does something to the keys of all members that hear of it.
func (s *State) changeKeyring(do func(Ring) Ring) bool {
	for i := range s.slots() {
		if x := &s.Servers[i]; x.Serf == Alive && x.heard() && x.Ring != 0 {
			x.Ring = do(x.Ring)
		}
	}
	return true
}

// InstallKey gives all members key B.
func (s *State) InstallKey() bool { return s.changeKeyring(func(r Ring) Ring { return r | HasB }) }

// UseKey makes members encrypt with B. One that does not have it refuses.
func (s *State) UseKey() bool {
	return s.changeKeyring(func(r Ring) Ring {
		if r&HasB == 0 {
			return r
		}
		return r | UsesB
	})
}

// RemoveKeys makes members forget A. One that encrypts with it refuses.
func (s *State) RemoveKeys() bool {
	return s.changeKeyring(func(r Ring) Ring {
		if r&UsesB == 0 {
			return r
		}
		return r &^ HasA
	})
}

// SettleKeys is the end of a rotation: B is called A from now on, and what is left of A is another key.
func (s *State) SettleKeys() {
	s.Keys, s.KeysShown = uint8(plan.KeySettled), false
	for i := range s.slots() {
		was, is := s.Servers[i].Ring, Ring(0)
		if was&HasB != 0 {
			is |= HasA
		}
		if was&HasA != 0 {
			is |= HasB
		}
		if was != 0 && was&UsesB == 0 {
			is |= UsesB
		}
		s.Servers[i].Ring = is
	}
}

// SetKeyStage is a change of the Secret.
func (s *State) SetKeyStage(stage plan.KeyStage) {
	if stage == plan.KeySettled {
		s.SettleKeys()
		return
	}
	s.setKeys(stage)
}

// rotate takes a step of the rotation. The Secret is read past the cache while it is rotated.
func rotate(seen, s *State, step plan.KeyStep) bool {
	if seen.keyStage() == plan.KeySettled && s.keyStage() != plan.KeySettled {
		return false // it was not seen to have begun
	}
	ring, unanswered := s.keyring()
	told := askedOfLeader(seen, s) && unanswered == ""
	switch step {
	case plan.AddKey:
		s.setKeys(plan.KeyComing)
		s.Rotate = false
	case plan.InstallKey:
		return askedOfLeader(seen, s) && s.InstallKey()
	case plan.PreferKey:
		s.setKeys(plan.KeyGoing)
		return told && ring.HaveKey == ring.Members && s.UseKey()
	case plan.UseKey:
		return told && ring.HaveKey == ring.Members && s.UseKey()
	case plan.DropKeys:
		s.setKeys(plan.KeyRemoving)
	case plan.RemoveKeys:
		return told && ring.UseKey == ring.Members && s.RemoveKeys()
	case plan.SettleKey:
		s.SettleKeys()
	}
	return true
}

// checkRotate asserts that whoever runs, or is started again on the keys that it has, goes on hearing the others after a
// step (I10).
func checkRotate(s *State, step plan.KeyStep) *Violation {
	needs := map[plan.KeyStep]Ring{
		plan.PreferKey: HasB, plan.UseKey: HasB,
		plan.DropKeys: HasB | UsesB, plan.RemoveKeys: HasB | UsesB, plan.SettleKey: HasB | UsesB,
	}[step]
	for i := range s.slots() {
		x := &s.Servers[i]
		mayRun := x.Process != Down || x.Pod == PodRunning
		if x.Claim == ClaimNone || !mayRun || x.Ring == 0 {
			continue
		}
		if x.Ring&needs != needs {
			return violated(invariant.I10, "%s, and #%d does not encrypt with the new key yet, or does not have it", step, i)
		}
		if step == plan.SettleKey && x.Ring&HasA != 0 {
			return violated(invariant.I10, "the rotation ends, and #%d still has the former key", i)
		}
	}
	return nil
}

// rotations are the scenarios in which the gossip key is rotated.
func rotations() []Scenario {
	asked := requestRotation()
	var all []Scenario
	for _, replicas := range []uint8{1, 3, 5} {
		all = append(all,
			encrypted(sized("another gossip key", replicas, 1, 0, 1, asked)),
			encrypted(sized("another gossip key and a fault", replicas, 1, 1, 1, asked)),
			encrypted(sized("another gossip key and an upgrade", replicas, 1, 0, 2, asked, want(2))),
		)
	}
	for _, replicas := range []uint8{1, 3} {
		all = append(all,
			encrypted(sized("another gossip key, an upgrade and a fault", replicas, 1, 1, 2, asked, want(2))),
			encrypted(inPlace(sized("another gossip key, an upgrade and a fault", replicas, 1, 1, 2, asked, want(2)))),
			encrypted(sized("another gossip key, and none any more", replicas, 1, 0, 2, asked, secure(plan.GossipOff))),
			sized("gossip encryption, and another key", replicas, 1, 0, 2, asked, secure(plan.GossipRequired)),
			encrypted(sized("another gossip key, and another size", replicas, 1, 0, 2, asked, scale(5))),
		)
	}
	return all
}

// requestRotation asks for another gossip key. It costs no change of leadership.
func requestRotation() *kind {
	return &kind{
		name: "a person asks for another gossip key", whole: true,
		can: func(s *State, _ int) bool { return s.Changes > 0 && !s.Rotate },
		do: quietly(func(s *State, _ int) {
			s.Changes--
			s.Rotate = true
		}),
	}
}
