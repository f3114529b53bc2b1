package sim

import "github.com/consul-operator/consul-operator/internal/plan"

// encryptions are the scenarios in which gossip encryption is switched on or off, phase by phase.
func encryptions() []Scenario {
	on, off := secure(plan.GossipRequired), secure(plan.GossipOff)
	var all []Scenario
	for _, replicas := range []uint8{1, 3, 5} {
		all = append(all,
			encrypted(bootstrap(replicas, 1, 0)),
			sized("gossip encryption", replicas, 1, 0, 1, on),
			sized("gossip encryption and a fault", replicas, 1, 1, 1, on),
			sized("gossip encryption on and off", replicas, 1, 0, 2, on, off),
			sized("gossip encryption and an upgrade", replicas, 1, 0, 2, on, want(2)),
			encrypted(sized("gossip in the clear", replicas, 1, 1, 1, off)),
		)
	}
	for _, replicas := range []uint8{1, 3} {
		all = append(all,
			inPlace(sized("gossip encryption and a fault", replicas, 1, 1, 1, on)),
			inPlace(sized("gossip encryption on and off", replicas, 1, 1, 2, on, off)),
			sized("gossip encryption, and another type of update", replicas, 1, 0, 2, on, otherType()),
			brokenBy(2, sized("gossip encryption, and a revision that cannot start", replicas, 1, 1, 2, on, want(2), want(1))),
			brokenIn(plan.GossipAccepting, sized("a key that keeps servers from starting", replicas, 1, 0, 2, on, off)),
			brokenIn(plan.GossipAccepting, inPlace(sized("a key that keeps servers from starting", replicas, 1, 0, 2, on, off))),
			brokenIn(plan.GossipSending, sized("a phase that keeps servers from starting", replicas, 1, 1, 2, on, off)),
			brokenIn(plan.GossipSending, encrypted(sized("a phase that keeps servers from starting", replicas, 1, 1, 2, on, off))),
		)
	}
	return all
}

// encrypted wants the encryption of gossip from the beginning, and whoever runs has it.
func encrypted(scenario Scenario) Scenario {
	scenario.Name = "encrypted, " + scenario.Name
	s := &scenario.Start
	s.Gossip = uint8(plan.GossipRequired)
	if s.N == 0 {
		return scenario
	}
	s.Wanted = s.Wanted.WithGossip(plan.GossipRequired)
	for i := range s.slots() {
		s.Servers[i].Revision, s.Servers[i].PodRevision, s.Servers[i].Ring = s.Wanted, s.Wanted, HasA
	}
	return scenario
}

// brokenIn makes a phase one in which no server starts.
func brokenIn(phase plan.GossipPhase, scenario Scenario) Scenario {
	scenario.Start.BadGossip = uint8(phase) //nolint:gosec // 0 to 3
	return scenario
}

// brokenBy makes a revision one that never starts.
func brokenBy(bad uint8, scenario Scenario) Scenario {
	scenario.Start.Bad = bad
	return scenario
}
