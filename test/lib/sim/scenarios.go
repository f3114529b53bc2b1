package sim

import (
	"fmt"

	"github.com/consul-operator/consul-operator/internal/plan"
)

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
			bootstrap(replicas, 0, 0), bootstrap(replicas, 1, 0), bootstrap(replicas, 2, 0),
			bootstrap(replicas, 0, 1, want(2), scale(1), scale(3), scale(5)),
			sized("faults alone", replicas, 1, 2, 0),
			patient(sized("faults alone, nothing replaced", replicas, 1, 2, 0)),
			sized("upgrade and two faults", replicas, 1, 2, 1, want(2)),
			broken(replicas, 0), broken(replicas, 1),
			sized("drain", replicas, 1, 1, 2, cordon()),
			sized("drain while upgrading", replicas, 1, 0, 2, want(2), cordon()),
			full(sized("drain, and nowhere to go", replicas, 1, 1, 2, cordon())),
			full(sized("drain while upgrading, and nowhere to go", replicas, 1, 0, 3, want(2), cordon())),
			full(sized("drain while paused", replicas, 1, 0, 3, cordon(), pause(), unpause())),
			sized("pause", replicas, 1, 1, 2, want(2), pause(), unpause()),
			sized("transfer on request", replicas, 1, 1, 2, want(2), requestTransfer()),
			sized("scale", replicas, 1, 0, 2, scale(1), scale(3), scale(5)),
			sized("scale and a fault", replicas, 1, 1, 1, scale(1), scale(3), scale(5)),
			sized("scale while upgrading", replicas, 2, 1, 2, want(2), scale(1), scale(3), scale(5)),
			sized("another storage class and a fault", replicas, 1, 1, 1, otherClass()),
			sized("another storage class while upgrading", replicas, 1, 0, 2, want(2), otherClass()),
			inPlace(sized("another storage class while upgrading", replicas, 1, 1, 2, want(2), otherClass())),
		)
	}
	for _, replicas := range []uint8{1, 3, 5} {
		all = append(all,
			automatic(sized("faults, automatic recovery", replicas, 1, replicas/2+1, 0)),
			automatic(sized("upgrade and faults, automatic recovery", replicas, 1, replicas/2+1, 1, want(2))),
			sized("faults, and a person gives up who is missing", replicas, 1, replicas/2+1, 1, accept()),
			automatic(quorumLost(sized("quorum lost, automatic recovery", replicas, 1, 1, 1, want(2)))),
			quorumLost(sized("quorum lost, and a person gives up who is missing", replicas, 1, 1, 1, accept())))
	}
	for _, replicas := range []uint8{3, 5} {
		all = append(all,
			automatic(strayAlive(sized("a stray that is alive, automatic recovery", replicas, 1, replicas/2, 0))),
			strayAlive(sized("a stray that is alive, and a person gives up who is missing", replicas, 1, replicas/2, 1, accept())))
	}
	for _, replicas := range []uint8{1, 3, 5} {
		all = append(all,
			stoppedBySpec(sized("all down for a spec", replicas, 1, 0, 1, want(2))),
			stoppedBySpec(sized("all down for a spec", replicas, 1, 1, 2, want(1), want(2), want(3))),
			inPlace(stoppedBySpec(sized("all down for a spec", replicas, 1, 1, 1, want(2)))),
			spoiled(sized("a spec that would not start again", replicas, 1, replicas/2+1, 1, want(2))),
			inPlace(spoiled(sized("a spec that would not start again", replicas, 1, replicas/2+1, 1, want(2)))))
	}
	all = append(all, otherFormats()...)
	all = append(all, olderPods()...)
	all = append(all, scaledDown(), createdAnew(1, 1), createdAnew(3, 0), createdAnew(3, 1))
	all = append(all, updatesInPlace()...)
	all = append(all, encryptions()...)
	all = append(all, certificates()...)
	all = append(all, acls()...)
	all = append(all, rotations()...)
	all = append(all, tokenRotations()...)
	all = append(all, restores()...)
	all = append(all, snapshots()...)
	for i := range all {
		all[i].Limit = 30_000
	}
	// What nearly everybody runs is explored farther.
	far := sized("upgrade and a fault, far", 3, 1, 1, 1, want(2))
	far.Limit = 1_000_000
	return append(all, far)
}

// sized starts with a cluster that is up and idle.
func sized(name string, replicas, surge, faultBudget, changes uint8, changeKinds ...*kind) Scenario {
	s := empty(replicas, surge)
	s.Faults, s.Changes, s.Handoffs = faultBudget, changes, 0
	s.Founded, s.Bootstrapped, s.Leader, s.Stable = true, true, 0, true
	s.N, s.Expect, s.MinQuorum, s.MinAvailable = replicas, replicas, replicas, replicas
	for i := range replicas {
		s.Servers[i] = Server{
			Claim: ClaimBound, Revision: Of(1), Founder: true, Pod: PodRunning, PodRevision: Of(1), PodFounder: true,
			Serving: true, Routed: true, Process: Up, Data: true, Peer: Voter, Serf: Alive, Healthy: true,
		}
	}
	return Scenario{
		Name:  fmt.Sprintf("%s, %s, surge %d, %s", name, some(replicas, "server"), surge, some(faultBudget, "fault")),
		Start: s, Faults: faults, Changes: changeKinds,
	}
}

// some is a number of things: 1 fault, 2 faults.
func some(n uint8, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

func empty(replicas, surge uint8) State {
	return State{
		Replicas: replicas, Surge: surge, Wanted: Of(1), Replace: true, Leader: nobody, Transfer: noTransfer, Survivor: nobody,
		MinAvailable: 1,
	}
}

// otherFormats are upgrades after which the leader writes what servers of before cannot read, as from Consul 1.19 to 1.22.
func otherFormats() []Scenario {
	var all []Scenario
	for _, replicas := range []uint8{1, 3, 5} {
		for surge := uint8(1); surge <= min(replicas, 3); surge++ {
			all = append(all, sized("upgrade and a fault", replicas, surge, 1, 1, want(2)))
		}
		all = append(all,
			sized("upgrade and two faults", replicas, 1, 2, 1, want(2)),
			sized("two changes and a fault", replicas, 1, 1, 2, want(2), want(3)),
			inPlace(sized("upgrade and a fault", replicas, 1, 1, 1, want(2))),
			sized("drain while upgrading", replicas, 1, 0, 2, want(2), cordon()),
			full(sized("drain while upgrading, and nowhere to go", replicas, 1, 0, 3, want(2), cordon())),
			ledByTheNewOne(sized("a new server leads, and a drain", replicas, 1, 0, 2, want(3), cordon())),
			ledByTheNewOne(sized("a new server leads", replicas, 1, 0, 1, want(3))),
			ledByTheNewOne(sized("a new server leads, and a fault", replicas, 1, 1, 1, want(3))))
	}
	for i := range all {
		all[i].Name, all[i].Start.Format = "another format of the log, "+all[i].Name, 2
		all[i].Start.Handoffs = unlimited // an election that nobody planned may be won by a server that has to go
	}
	for _, x := range all {
		x.Name, x.Start.Mute = x.Name+", a mute leader", true
		all = append(all, x)
	}
	return all
}

// ledByTheNewOne is the middle of an upgrade to the second spec, in which a server of it has just been elected.
func ledByTheNewOne(x Scenario) Scenario {
	s := &x.Start
	s.Servers[s.N] = s.Servers[0]
	leader := &s.Servers[s.N]
	leader.Revision, leader.PodRevision, leader.Founder, leader.PodFounder = Of(2), Of(2), false, false
	s.Wanted, s.Leader, s.Stable, s.MinAvailable = Of(2), int8(s.N), false, s.MinAvailable+1 //nolint:gosec // at most maxServers
	s.N++
	return x
}

// olderPods are those of an operator of before: a server that has left is started again. They are there until the next revision.
func olderPods() []Scenario {
	var all []Scenario
	for _, replicas := range []uint8{1, 3} {
		for _, x := range []Scenario{
			sized("upgrade and a fault", replicas, 1, 1, 1, want(2)),
			sized("rollback", replicas, 1, 0, 2, want(1), want(2)),
			inPlace(sized("upgrade and a fault", replicas, 1, 1, 1, want(2))),
			sized("drain while upgrading", replicas, 1, 0, 2, want(2), cordon()),
			sized("scale and a fault", replicas, 1, 1, 1, scale(1), scale(3)),
			automatic(sized("upgrade and faults, automatic recovery", replicas, 1, replicas/2+1, 1, want(2))),
			sized("gossip encryption and a fault", replicas, 1, 1, 1, secure(plan.GossipRequired)),
			sized("TLS and a fault", replicas, 1, 1, 1, certify(plan.TLSRequired)),
			sized("ACLs and a fault", replicas, 1, 1, 1, grant(plan.ACLsDeny)),
			denied(sized("other tokens and an upgrade", replicas, 1, 0, 2, requestTokens(), want(2))),
		} {
			x.Name, x.Start.Restarts = "older pods, "+x.Name, 1
			all = append(all, x)
		}
	}
	return all
}

// bootstrap starts with nothing.
func bootstrap(replicas, faultBudget, changes uint8, changeKinds ...*kind) Scenario {
	s := empty(replicas, 1)
	s.Faults, s.Changes, s.Returns = faultBudget, changes, true // a cluster that is not founded yet waits for its nodes
	return Scenario{
		Name: fmt.Sprintf("bootstrap, %s, %s, %s", some(replicas, "server"), some(faultBudget, "fault"),
			some(changes, "change")),
		Start: s, Faults: faults, Changes: changeKinds,
	}
}

// createdAnew starts when a cluster was deleted and another one of the same name created: the servers of the first still
// run.
func createdAnew(replicas, faultBudget uint8) Scenario {
	scenario := bootstrap(replicas, faultBudget, 0)
	scenario.Name = "created anew, " + scenario.Name
	s := &scenario.Start
	for i := range replicas {
		s.Servers[i] = Server{Former: true, Pod: PodRunning, PodRevision: Of(1), Settled: true, Process: Up, Data: true}
	}
	s.N = replicas
	return scenario
}

// scaledDown starts in the middle of an upgrade, after the user has made do with one server: the leader is the last
// outdated one, one replacement is a voter, and another one has just joined.
func scaledDown() Scenario {
	scenario := sized("scaled down in the middle of an upgrade", 1, 2, 1, 0)
	s := &scenario.Start
	s.N, s.Wanted, s.Handoffs = 3, Of(2), 1
	for i := 1; i < 3; i++ {
		s.Servers[i] = s.Servers[0]
		s.Servers[i].Revision, s.Servers[i].PodRevision, s.Servers[i].Founder, s.Servers[i].PodFounder = Of(2), Of(2), false, false
	}
	joining := &s.Servers[2]
	joining.Peer, joining.Serving, joining.Routed, joining.Settled = NonVoter, false, false, true
	return scenario
}

// patient waits for what has failed, for as long as it takes.
func patient(scenario Scenario) Scenario {
	scenario.Start.Replace, scenario.Start.Returns = false, true
	return scenario
}

// full has no node that takes a server which is new.
func full(scenario Scenario) Scenario {
	scenario.Start.Full = true
	return scenario
}

// spoiled has servers that run and could not start again, for something in their spec or beside it: a node label that is gone, an
// image that is no longer there, a memory limit that the state has outgrown.
func spoiled(scenario Scenario) Scenario {
	scenario.Start.Bad = 1
	scenario.Start.Handoffs = unlimited
	return scenario
}

// stoppedBySpec starts when all of them were stopped.
func stoppedBySpec(scenario Scenario) Scenario {
	scenario = spoiled(scenario)
	s := &scenario.Start
	s.Leader, s.Stable = nobody, false
	for i := range s.slots() {
		x := &s.Servers[i]
		x.Pod, x.Process, x.Serf, x.Healthy, x.Serving, x.Routed = PodPending, Down, Failed, false, false, false
	}
	return scenario
}

// broken asks for a revision that never starts, and takes it back or puts it right.
func broken(replicas, faultBudget uint8) Scenario {
	scenario := sized("a revision that cannot start", replicas, 1, faultBudget, 2, want(1), want(2), want(3))
	scenario.Start.Bad = 2
	return scenario
}
