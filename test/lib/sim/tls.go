package sim

import "github.com/consul-operator/consul-operator/internal/plan"

// certificates are the scenarios in which TLS is switched on or off, phase by phase.
func certificates() []Scenario {
	on, only, off := certify(plan.TLSRequired), certify(plan.TLSOnly), certify(plan.TLSOff)
	var all []Scenario
	for _, replicas := range []uint8{1, 3, 5} {
		all = append(all,
			certified(bootstrap(replicas, 1, 0)),
			sized("TLS", replicas, 1, 0, 1, only),
			sized("TLS and a fault", replicas, 1, 1, 1, on),
			sized("TLS on and off", replicas, 1, 0, 2, on, off),
			sized("TLS and an upgrade", replicas, 1, 0, 2, on, want(2)),
			certified(sized("RPC in the clear", replicas, 1, 1, 1, off)),
			sized("TLS, paused and scaled", replicas, 1, 0, 4, on, pause(), unpause(), scale(1), scale(3)),
		)
	}
	for _, replicas := range []uint8{1, 3} {
		all = append(all,
			inPlace(sized("TLS and a fault", replicas, 1, 1, 1, on)),
			inPlace(sized("TLS on and off", replicas, 1, 1, 2, on, off)),
			sized("TLS, and another type of update", replicas, 1, 0, 2, on, otherType()),
			brokenBy(2, sized("TLS, and a revision that cannot start", replicas, 1, 1, 2, on, want(2), want(1))),
			encrypted(sized("TLS and another gossip key", replicas, 1, 1, 2, on, requestRotation())),
			sized("TLS and gossip encryption", replicas, 1, 1, 2, on, secure(plan.GossipRequired)),
			sized("TLS and gossip encryption on and off", replicas, 1, 0, 3, on, off, secure(plan.GossipRequired),
				secure(plan.GossipOff)),
			uncertified(plan.TLSAccepting, sized("a certificate that keeps servers from starting", replicas, 1, 0, 2, on, off)),
			uncertified(plan.TLSAccepting,
				inPlace(sized("a certificate that keeps servers from starting", replicas, 1, 0, 2, on, off))),
			uncertified(plan.TLSRequired, sized("a phase of TLS that keeps servers from starting at last", replicas, 1, 0, 2, on, off)),
			uncertified(plan.TLSSending, sized("a phase of TLS that keeps servers from starting", replicas, 1, 1, 2, on, off)),
			uncertified(plan.TLSSending, certified(
				sized("a phase of TLS that keeps servers from starting", replicas, 1, 1, 2, on, off))),
		)
	}
	return all
}

// certified wants TLS from the beginning, and whoever runs has it.
func certified(scenario Scenario) Scenario {
	scenario.Name = "with TLS, " + scenario.Name
	s := &scenario.Start
	s.TLS = uint8(plan.TLSOnly)
	if s.N == 0 {
		return scenario
	}
	s.Wanted = s.Wanted.WithTLS(plan.TLSOnly)
	for i := range s.slots() {
		s.Servers[i].Revision, s.Servers[i].PodRevision = s.Wanted, s.Wanted
	}
	return scenario
}

// uncertified makes a phase one in which no server starts.
func uncertified(phase plan.TLSPhase, scenario Scenario) Scenario {
	scenario.Start.BadTLS = uint8(phase) //nolint:gosec // 0 to 4
	return scenario
}
