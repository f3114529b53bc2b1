package sim

import (
	"fmt"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

// How far the ConsulSnapshot before an upgrade is.
const (
	noSnapshot uint8 = iota
	savingSnapshot
	goodSnapshot
	failedSnapshot
)

// How far the foundation of a cluster that begins with a snapshot is.
const (
	noFounding uint8 = iota
	wantedFounding
	recordedFounding
	readingFounding  // its ConsulRestore is there
	preparedFounding // the snapshot was read and can be restored
	doneFounding     // it was restored
)

// isSaved reports whether there is a good snapshot of before the wanted spec.
func (s *State) isSaved() bool { return s.Snapshot == goodSnapshot && s.SnapshotOf == s.Wanted.spec }

// beginsUpgrade reports whether servers of another spec run, and none is to run the wanted one yet.
func (s *State) beginsUpgrade() bool {
	return s.Bootstrapped && s.count(func(x *Server) bool { return x.Claim != ClaimNone && x.Revision == s.Wanted }) == 0 &&
		s.count(func(x *Server) bool { return x.Process == Up && x.PodRevision.spec != s.Wanted.spec }) > 0
}

// awaitsPerson reports whether no server is added before there is a snapshot, or a person has decided something.
func (s *State) awaitsPerson() bool {
	return s.Restore >= incompleteRestore || s.Saves && s.beginsUpgrade() && !s.isSaved()
}

// saves adds what the operator sees of snapshots before an upgrade, and of the one that a new cluster begins with.
func saves(spec *plan.Spec, kube, consul *State) {
	merged := *kube
	for i := range merged.slots() {
		merged.Servers[i].Process = consul.Servers[i].Process
	}
	if kube.Saves && merged.beginsUpgrade() {
		is := kube.Snapshot
		if kube.SnapshotOf != kube.Wanted.spec {
			is = noSnapshot
		}
		spec.UpgradeSnapshot = &plan.UpgradeSnapshot{Name: "before", Exists: is != noSnapshot, Good: is == goodSnapshot}
		if is == failedSnapshot {
			spec.UpgradeSnapshot.Failure = "the store refuses it"
		}
	}
	if f := kube.Founding; f != noFounding {
		spec.Founding = &plan.Founding{
			Name: "new", Asked: true, Recorded: f >= recordedFounding, Exists: f >= readingFounding, Prepared: f >= preparedFounding,
			Restored: f == doneFounding, Ready: plan.Problem{Reason: reason.Restoring},
		}
	}
}

// actOnSaves does what an action asks for that is about snapshots.
func actOnSaves(action plan.Action, seen, s *State) bool {
	advance := func(from, to uint8) bool {
		if !sameRecord(seen, s) || s.Founding != from {
			return false
		}
		s.Founding = to
		return true
	}
	switch action.(type) {
	case plan.TakeSnapshot:
		if !sameRecord(seen, s) || s.Snapshot != noSnapshot && s.SnapshotOf == s.Wanted.spec {
			return false
		}
		s.Snapshot, s.SnapshotOf = savingSnapshot, s.Wanted.spec
		return true
	case plan.BeginFounding:
		return advance(wantedFounding, recordedFounding)
	case plan.AskRestore:
		return advance(recordedFounding, readingFounding)
	case plan.EndFounding:
		return advance(doneFounding, noFounding)
	}
	panic(fmt.Sprintf("%T is about no snapshot", action))
}

// checkSaves asserts that nothing that a snapshot is for is done before there is one.
func checkSaves(action plan.Action, s *State) *Violation {
	unread := !s.Bootstrapped && s.Founding != noFounding && s.Founding < preparedFounding
	unsaved := s.Saves && s.works() && s.readable() && s.beginsUpgrade() && !s.isSaved()
	switch action.(type) {
	case plan.StartServing:
		if s.Founding != noFounding && s.Founding != doneFounding {
			return violated(invariant.I9, "clients are sent to a cluster whose data is still to be restored")
		}
	case plan.CreateServer:
		if unread {
			return violated(invariant.I8, "a server is created before it is known that the snapshot can be restored")
		}
		if unsaved {
			return violated(invariant.I8, "a server of another version is created before the cluster is saved")
		}
	case plan.SetRevision:
		if unsaved {
			return violated(invariant.I8, "a server gets another version before the cluster is saved")
		}
	}
	return nil
}

func isSaving(s *State, _ int) bool     { return s.Snapshot == savingSnapshot && s.works() }
func hasFailed(s *State, _ int) bool    { return s.Snapshot == failedSnapshot }
func isReading(s *State, _ int) bool    { return s.Founding == readingFounding }
func isIncomplete(s *State, _ int) bool { return s.Restore == incompleteRestore }

func save(s *State, _ int)         { s.Snapshot = goodSnapshot }
func deleteFailed(s *State, _ int) { s.Snapshot = noSnapshot }

// restoreAgain has another restore take the place of one that is incomplete. The one that founds a cluster is deleted, and
// created anew.
func restoreAgain(s *State, _ int) {
	s.Restore = nextRestore
	if s.Founding == preparedFounding {
		s.Restore, s.Founding = endedRestore, recordedFounding
	}
}

// read has the ConsulRestore of a new cluster wait until the cluster makes way for it.
func read(s *State, _ int) {
	s.Founding, s.Restore = preparedFounding, wantedRestore
}

// failToSave has a snapshot fail. breakOff has a restore end so that nobody knows what the servers have.
func failToSave() *kind {
	return change("the snapshot fails", func(s *State) bool { return s.Snapshot == savingSnapshot },
		func(s *State) { s.Snapshot = failedSnapshot })
}

func breakOff() *kind {
	return change("nobody knows what was restored", func(s *State) bool { return s.Restore == recordedRestore },
		func(s *State) { s.Restore = incompleteRestore })
}

// saved has a destination for snapshots, so that upgrades wait for one.
func saved(x Scenario) Scenario {
	x.Name, x.Start.Saves = "saved first, "+x.Name, true
	return x
}

// fromSnapshot has a new cluster begin with a snapshot.
func fromSnapshot(x Scenario) Scenario {
	x.Name, x.Start.Founding = "from a snapshot, "+x.Name, wantedFounding
	return x
}

// snapshots are the scenarios in which the cluster is saved before an upgrade, or begins with a snapshot.
func snapshots() []Scenario {
	var all []Scenario
	for _, replicas := range []uint8{1, 3} {
		all = append(all,
			saved(sized("upgrade and a fault", replicas, 1, 1, 1, want(2))),
			saved(sized("upgrade and a snapshot that fails", replicas, 1, 0, 2, want(2), failToSave())),
			saved(inPlace(sized("upgrade and a fault", replicas, 1, 1, 1, want(2)))),
			saved(sized("two changes", replicas, 1, 0, 2, want(2), want(3))),
			saved(sized("drain while upgrading", replicas, 1, 0, 2, want(2), cordon())),
			saved(sized("an upgrade and a restore", replicas, 1, 0, 2, want(2), askRestore())),
			sized("a restore that breaks off, and a fault", replicas, 1, 1, 2, askRestore(), breakOff()),
			fromSnapshot(bootstrap(replicas, 0, 0)),
			fromSnapshot(bootstrap(replicas, 1, 1, breakOff())),
		)
	}
	return all
}
