package plan_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// No server of another version is there before a snapshot is.
func TestASnapshotBeforeAnUpgrade(t *testing.T) {
	upgrade := func(saved *plan.UpgradeSnapshot) plan.Observation {
		return healthy(func(o *plan.Observation) { o.Spec.Revision, o.Spec.UpgradeSnapshot = "new", saved })
	}
	creates := decided{plan.CreateServer{Serial: 3}, reason.CreatingServer, "", "Create"}
	for what, test := range map[string]struct {
		saved *plan.UpgradeSnapshot
		decided
	}{
		"nobody asks for one": {nil, creates},
		"it is asked for": {
			&plan.UpgradeSnapshot{Name: "first"}, decided{plan.TakeSnapshot{Name: "first"}, reason.SavingSnapshot, "", "SnapshotFirst"},
		},
		"it is being taken": {
			&plan.UpgradeSnapshot{Name: "first", Exists: true}, decided{nil, reason.SavingSnapshot, "first is taken", "SnapshotFirst"},
		},
		"it fails": {
			&plan.UpgradeSnapshot{Name: "first", Exists: true, Failure: "no such bucket", Remedy: "or type this"},
			decided{nil, reason.SnapshotNeeded, "no such bucket; or type this", "SnapshotFirst"},
		},
		"it is good": {&plan.UpgradeSnapshot{Name: "first", Exists: true, Good: true}, creates},
	} {
		t.Run(what, func(t *testing.T) { test.expect(t, upgrade(test.saved)) })
	}
	decided{nil, reason.Healthy, "", ""}.expect(t, healthy(func(o *plan.Observation) {
		o.Spec.UpgradeSnapshot = &plan.UpgradeSnapshot{Name: "first"}
	}))
}

// unsaved is a cluster whose upgrade waits for a person.
func unsaved(o *plan.Observation) {
	o.Spec.Revision = "new"
	o.Spec.UpgradeSnapshot = &plan.UpgradeSnapshot{Name: "first", Exists: true, Failure: "no such bucket"}
}

// While an upgrade waits for its snapshot, no server gets another revision, and all goes on that needs none.
func TestAClusterThatIsNotSavedYet(t *testing.T) {
	waits := decided{nil, reason.SnapshotNeeded, "no such bucket", "SnapshotFirst"}
	for what, test := range map[string]struct {
		change func(*plan.Observation)
		decided
		upkeep []plan.Action
	}{
		"a server that takes no part keeps its revision": {
			func(o *plan.Observation) { unsaved(o); idle(o, 2) }, waits, []plan.Action{plan.StopServing{Server: "consul-2"}},
		},
		"and comes back as it was": {
			func(o *plan.Observation) { unsaved(o); idle(o, 2).Pod = nil }, waits, []plan.Action{plan.CreatePod{Server: "consul-2"}},
		},
		"so does one that is updated in place": {
			func(o *plan.Observation) { unsaved(o); gone(inPlace(o)) },
			decided{plan.UnmarkRetiring{Server: "consul-1"}, reason.KeepingServer, "as it was", "Retire"}, nil,
		},
		"a server that failed is given up": {
			func(o *plan.Observation) { unsaved(o); overdue(&o.Servers[2]) },
			decided{plan.MarkFailed{Server: "consul-2"}, reason.ReplacingFailedServer, "", "GiveUp"}, nil,
		},
		"a node can be drained": {
			func(o *plan.Observation) { unsaved(o); drain(o, 1) }, waits, evictable,
		},
	} {
		t.Run(what, func(t *testing.T) {
			o := healthy(test.change)
			test.expect(t, o)
			NewWithT(t).Expect(plan.Plan(o, noon).Upkeep).To(Equal(test.upkeep))
		})
	}
}

// idle is a server that has never joined, or is away.
func idle(o *plan.Observation, i int) *plan.Server {
	s := &o.Servers[i]
	s.Peer, s.Member, s.Health, s.Agent, s.Routed = nil, plan.MemberAbsent, plan.HealthUnknown, plan.Agent{}, false
	s.Pod = &plan.Pod{Revision: s.Revision, Serving: true}
	return s
}

// The version that ran last on a volume is recorded, and nothing is written while it stays (I5).
func TestVersionsOfVolumes(t *testing.T) {
	g := NewWithT(t)
	other := healthy(func(o *plan.Observation) { o.Servers[1].Agent.Version = "1.23.0" })
	g.Expect(plan.Plan(other, noon).Upkeep).To(Equal([]plan.Action{plan.RecordVersion{Server: "consul-1", Version: "1.23.0"}}))
	stranger := healthy(func(o *plan.Observation) { idle(o, 1).Agent = plan.Agent{Answered: true, Version: "1.23.0"} })
	g.Expect(plan.Plan(stranger, noon).Upkeep).NotTo(ContainElement(BeAssignableToTypeOf(plan.RecordVersion{})),
		"a version that never joined is not taken for one that wrote")
}
