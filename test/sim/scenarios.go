package sim

import "fmt"

// Scenarios is what is explored.
func Scenarios() []Scenario {
	var all []Scenario
	for _, replicas := range []uint8{1, 3, 5} {
		for surge := uint8(1); surge <= min(replicas, 3); surge++ {
			all = append(all,
				sized("upgrade", replicas, surge, 0, 1, want(2)),
				sized("upgrade and a fault", replicas, surge, 1, 1, want(2)),
				sized("rollback", replicas, surge, 0, 2, want(1), want(2)),
				sized("two changes and a fault", replicas, surge, 1, 2, want(1), want(2), want(3)),
			)
		}
		all = append(all,
			bootstrap(replicas, 0), bootstrap(replicas, 1), bootstrap(replicas, 2),
			sized("faults alone", replicas, 1, 2, 0),
			sized("upgrade and two faults", replicas, 1, 2, 1, want(2)),
			broken(replicas, 0), broken(replicas, 1),
			sized("pause", replicas, 1, 1, 2, want(2), pause(), unpause()),
			sized("transfer on request", replicas, 1, 1, 2, want(2), requestTransfer()),
			sized("scale", replicas, 1, 0, 2, scale(1), scale(3), scale(5)),
			sized("scale and a fault", replicas, 1, 1, 1, scale(1), scale(3), scale(5)),
			sized("scale while upgrading", replicas, 2, 1, 2, want(2), scale(1), scale(3), scale(5)),
		)
	}
	for i := range all {
		all[i].Limit = 100_000
	}
	return all
}

// sized starts with a cluster that is up and idle.
func sized(name string, replicas, surge, faultBudget, changes uint8, changeKinds ...*kind) Scenario {
	s := empty(replicas, surge)
	s.Faults, s.Changes, s.Handoffs = faultBudget, changes, 0
	s.Founded, s.Bootstrapped, s.Leader, s.Stable = true, true, 0, true
	s.N, s.Expect, s.MinQuorum = replicas, replicas, replicas
	for i := range replicas {
		s.Servers[i] = Server{
			Claim: ClaimBound, Revision: 1, Founder: true, Pod: PodRunning, PodRevision: 1, PodFounder: true,
			Serving: true, Routed: true, Process: Up, Data: true, Peer: Voter, Serf: Alive, Healthy: true,
		}
	}
	return Scenario{
		Name:  fmt.Sprintf("%s, %d servers, surge %d, %d faults", name, replicas, surge, faultBudget),
		Start: s, Faults: faults, Changes: changeKinds,
	}
}

func empty(replicas, surge uint8) State {
	return State{Replicas: replicas, Surge: surge, Wanted: 1, Leader: nobody, Transfer: noTransfer}
}

// bootstrap starts with nothing.
func bootstrap(replicas, faultBudget uint8) Scenario {
	s := empty(replicas, 1)
	s.Faults = faultBudget
	return Scenario{Name: fmt.Sprintf("bootstrap, %d servers, %d faults", replicas, faultBudget), Start: s, Faults: faults}
}

// broken asks for a revision that never starts, and takes it back or puts it right.
func broken(replicas, faultBudget uint8) Scenario {
	scenario := sized("a revision that cannot start", replicas, 1, faultBudget, 2, want(1), want(2), want(3))
	scenario.Start.Bad = 2
	return scenario
}
