package sim

import "strings"

// updatesInPlace are the scenarios of clusters whose servers are updated on the volumes they have.
func updatesInPlace() []Scenario {
	var all []Scenario
	for _, replicas := range []uint8{1, 3} {
		all = append(all,
			inPlace(sized("upgrade", replicas, 1, 0, 1, want(2))),
			inPlace(sized("upgrade and a fault", replicas, 1, 1, 1, want(2))),
			inPlace(patient(sized("upgrade and a fault, nothing replaced", replicas, 1, 1, 1, want(2)))),
			inPlace(sized("rollback", replicas, 1, 1, 2, want(1), want(2))),
			inPlace(sized("pause", replicas, 1, 1, 2, want(2), pause(), unpause())),
			inPlace(sized("scale while upgrading", replicas, 1, 0, 2, want(2), scale(1), scale(3), scale(5))),
			inPlace(sized("drain while upgrading", replicas, 1, 0, 2, want(2), cordon())),
			inPlace(full(sized("drain while upgrading, and nowhere to go", replicas, 1, 0, 3, want(2), cordon()))),
			inPlace(broken(replicas, 0)), inPlace(broken(replicas, 1)),
			inPlace(sized("upgrade, and another type of update", replicas, 1, 1, 2, want(2), otherType())),
			full(sized("upgrade for which there is no room, then in place", replicas, 1, 0, 3, want(2), want(3), otherType())),
		)
	}
	return append(all, inPlace(sized("upgrade and a fault", 5, 1, 1, 1, want(2))))
}

// inPlace updates servers on their volumes.
func inPlace(scenario Scenario) Scenario {
	scenario.Start.InPlace = true
	scenario.Name = strings.Replace(scenario.Name, ", ", " in place, ", 1)
	return scenario
}
