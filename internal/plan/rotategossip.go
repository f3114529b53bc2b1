package plan

import (
	"cmp"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
)

// KeyStage is how far the rotation of the gossip key is. The Secret of the key says so.
type KeyStage int

// The stages, in order.
const (
	KeySettled  KeyStage = iota // there is one key
	KeyComing                   // the Secret has a new key beside it: members get it, and none encrypts with it
	KeyGoing                    // the Secret has the new key first: members encrypt with it, and still have the former one
	KeyRemoving                 // the Secret has the new key alone: members forget the former one
	KeyUnknown                  // there is no Secret that can be used
)

// KeyStep is a step of the rotation of the gossip key.
type KeyStep string

// The steps, in order.
const (
	AddKey     KeyStep = "AddKey"     // the Secret gets a new key beside the present one
	InstallKey KeyStep = "InstallKey" // all members get the new key
	PreferKey  KeyStep = "PreferKey"  // the Secret gets the new key first, and all members encrypt with it
	UseKey     KeyStep = "UseKey"     // all members encrypt with it: some did not, or started with what the Secret had before
	DropKeys   KeyStep = "DropKeys"   // the Secret forgets every other key
	RemoveKeys KeyStep = "RemoveKeys" // all members forget them as well
	SettleKey  KeyStep = "SettleKey"  // the rotation is over
)

// Rotation is the rotation of the gossip key.
type Rotation struct {
	Stage KeyStage
	// Replacement are the reasons for another key than the one that there is, or is to be.
	Replacement Replacement
	// ShownAt is when kubelets show all pods the Secret as it is.
	ShownAt time.Time
	// Federated reports whether the members of other datacenters would get the key as well.
	Federated bool
}

// IsUnderWay reports whether a rotation has begun.
func (r Rotation) IsUnderWay() bool { return r.Stage != KeySettled && r.Stage != KeyUnknown }

// Keyring is what the members of Serf have of the gossip keys. The key is the one that is to stay.
type Keyring struct {
	// Members is how many have told their keys: all that are alive, client agents included.
	Members int
	// HaveKey is how many of them have the key, and UseKey how many encrypt with it.
	HaveKey, UseKey int
	// OtherKeys is how many other keys there are among them.
	OtherKeys int
}

// rotateGossip replaces the gossip key while servers run: all members get the new key, then all encrypt with it, then all
// forget the former one. Servers that start take their keys from the Secret, and may see it as it was a step before. So it
// has both keys while some members may need the one and some the other, and what others rely on waits until all pods are
// shown it. No step is taken before all members have told that they took the last one.
func rotateGossip(v view) *Decision {
	rotation := v.Spec.Gossip.Rotation
	switch {
	case v.Spec.Gossip.Phase == GossipOff, !rotation.IsUnderWay() && rotation.Replacement.Why(v.now) == "":
		return nil
	case rotation.Federated:
		return wait(steadily, reason.InvalidSpec, "spec.config.ports.serf_wan connects datacenters, and Consul would give a new "+
			"gossip key to all of them: remove it, or take back what asks for another key, which is the annotation "+
			"consuloperator.io/rotate-gossip-key, or rotateEvery or secretRef in spec.gossipEncryption")
	}
	switch rotation.Stage {
	case KeySettled:
		return v.addKey()
	case KeyComing:
		return v.bringKey()
	case KeyGoing:
		return v.useKey()
	case KeyRemoving:
		return v.removeKeys()
	case KeyUnknown:
	}
	return wait(steadily, reason.RotatingGossipKey, "the gossip key is rotated when its Secret is there again")
}

// addKey creates the new key, if the members encrypt with the one that the Secret has: they would get one more that is not
// theirs.
func (v view) addKey() *Decision {
	ring := v.Raft.Gossip.Keyring
	switch d := v.awaitTellers(); {
	case d != nil:
		return d
	case ring.UseKey < ring.Members:
		return wait(steadily, reason.WaitingForMembers, "%d of %d members encrypt with another gossip key than the Secret has, and so "+
			"it is not rotated: delete the Secret, and the operator writes it again with their key", ring.Members-ring.UseKey,
			ring.Members)
	}
	return v.rotate(AddKey, "the gossip key is replaced (%s): all members get the new one before any encrypts with it",
		v.Spec.Gossip.Rotation.Replacement.Why(v.now))
}

// bringKey gives all members the new key. Then it takes the first place.
func (v view) bringKey() *Decision {
	ring := v.Raft.Gossip.Keyring
	if d := cmp.Or(v.awaitTellers(), v.awaitDownAgents()); d != nil {
		return d
	}
	if ring.HaveKey < ring.Members {
		return v.installKey()
	}
	if d := v.awaitMounts(); d != nil {
		return d
	}
	return v.rotate(PreferKey, "all %d members have the new gossip key: they encrypt with it from now on", ring.Members)
}

// useKey makes all members encrypt with the new key. Agents that are down got it before, and are not waited for: one that
// has started with the new key alone is down until the others use it. The former key stays in the Secret until no pod can
// be shown the one of before: a server that starts with that one encrypts with the former key, and a rollout may end while
// it does.
func (v view) useKey() *Decision {
	if d := cmp.Or(v.awaitTellers(), v.completeKey(), v.awaitMounts()); d != nil {
		return d
	}
	return v.rotate(DropKeys, "all %d members encrypt with the new gossip key: servers that start get no other one",
		v.Raft.Gossip.Keyring.Members)
}

// removeKeys makes all members forget every other key.
func (v view) removeKeys() *Decision {
	ring := v.Raft.Gossip.Keyring
	if d := cmp.Or(v.awaitTellers(), v.completeKey(), v.awaitDownAgents(), v.awaitMounts()); d != nil {
		return d
	}
	if ring.OtherKeys > 0 {
		return v.rotate(RemoveKeys, "all %d members encrypt with the new gossip key: they forget the former one", ring.Members)
	}
	return v.rotate(SettleKey, "all %d members have the new gossip key alone", ring.Members)
}

// completeKey gives the new key to whoever lacks it, or does not use it.
func (v view) completeKey() *Decision {
	ring := v.Raft.Gossip.Keyring
	switch {
	case ring.HaveKey < ring.Members:
		return v.installKey()
	case ring.UseKey < ring.Members:
		return v.rotate(UseKey, "%d of %d members encrypt with the new gossip key: the others are told to", ring.UseKey, ring.Members)
	}
	return nil
}

func (v view) installKey() *Decision {
	ring := v.Raft.Gossip.Keyring
	return v.rotate(InstallKey, "%d of %d members have the new gossip key: the others get it", ring.HaveKey, ring.Members)
}

// awaitTellers waits until all members that are alive have told their keys.
func (v view) awaitTellers() *Decision {
	members := v.Raft.Gossip
	switch {
	case members.Unanswered != "", members.KeysUnanswered != "":
		return wait(steadily, reason.WaitingForMembers, "the rotation of the gossip key waits until all members tell their keys: %s",
			cmp.Or(members.Unanswered, members.KeysUnanswered))
	case members.Keyless != "":
		return wait(steadily, reason.WaitingForMembers, "the rotation of the gossip key waits until all members have the present "+
			"one: %s", members.Keyless)
	case members.Keyring.Members == 0:
		return wait(often, reason.RotatingGossipKey, "the rotation of the gossip key goes on when all servers serve")
	}
	return nil
}

// awaitDownAgents waits for client agents that have failed: they would miss a step, and be cut off when they come back.
// Servers that are down are waited for, or pruned, by other rules.
func (v view) awaitDownAgents() *Decision {
	down := v.Raft.Gossip.DownAgents
	if len(down) == 0 {
		return nil
	}
	return wait(steadily, reason.WaitingForMembers, "the rotation of the gossip key waits for client agents that are down, which "+
		"would be cut off: start them, or remove them for good with consul force-leave (%s)", someOf(down))
}

// awaitMounts waits until no pod is shown the Secret as it was before.
func (v view) awaitMounts() *Decision {
	shownAt := v.Spec.Gossip.Rotation.ShownAt
	if !v.now.Before(shownAt) {
		return nil
	}
	return wait(min(shownAt.Sub(v.now), forPeople), reason.RotatingGossipKey,
		"the rotation of the gossip key goes on at %s, when kubelets show its Secret to all pods as it is", clock(shownAt))
}

func (v view) rotate(next KeyStep, format string, args ...any) *Decision {
	return step(RotateGossip{Step: next}, reason.RotatingGossipKey, format, args...)
}
