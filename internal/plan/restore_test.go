package plan_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// decided is what is to be decided on an observation: an action, or a wait that says something.
type decided struct {
	step   plan.Action
	reason reason.Reason
	says   string
	rule   string
}

func (d decided) expect(t *testing.T, o plan.Observation) {
	t.Helper()
	g := NewWithT(t)
	is := plan.Plan(o, noon)
	g.Expect(is.Reason).To(Equal(d.reason), is.Message)
	g.Expect(is.Rule).To(Equal(d.rule))
	g.Expect(is.Message).To(ContainSubstring(d.says))
	if d.step == nil {
		g.Expect(is.Step).To(BeNil())
	} else {
		g.Expect(is.Step).To(Equal(d.step))
	}
}

// A restore waits for what has begun, is recorded first, and holds everything that can wait until it is over.
func TestRestoresAndTheRestOfTheCluster(t *testing.T) {
	wanted := func(o *plan.Observation) { o.Spec.Restore = &plan.Restore{Name: "back", UID: "1"} }
	recorded := func(o *plan.Observation) {
		wanted(o)
		o.Spec.Restore.Recorded = true
		o.Spec.Restore.Ready = plan.Problem{Reason: reason.Restoring, Message: "the Job runs"}
	}
	begins := decided{plan.BeginRestore{Name: "back", UID: "1"}, reason.Restoring, "back begins", "BeginRestore"}
	waits := decided{nil, reason.Restoring, "ConsulRestore back replaces all data with a snapshot: the Job runs", "AwaitRestore"}
	for what, test := range map[string]struct {
		change func(*plan.Observation)
		decided
	}{
		"nothing else happens":     {wanted, begins},
		"a cluster that is paused": {func(o *plan.Observation) { wanted(o); o.Spec.Paused = true }, begins},
		"an update waits between two servers": {
			func(o *plan.Observation) { wanted(o); o.Spec.Revision = "new" }, begins,
		},
		"a server retires": {
			func(o *plan.Observation) { wanted(o); retiring(o, 1) },
			decided{plan.UnmarkRetiring{Server: "consul-1"}, reason.KeepingServer, "", "Retire"},
		},
		"tokens are rotated": {
			tokens(plan.TokensComing, wanted),
			decided{plan.RotateTokens{Step: plan.PromoteTokens}, reason.RotatingTokens, "", "RotateTokens"},
		},
		"nobody leads": {
			func(o *plan.Observation) { wanted(o); o.Raft = plan.Raft{Unknown: "nobody answers"} },
			decided{nil, reason.NoLeader, "", "AwaitLeader"},
		},
		"it goes on":                {recorded, waits},
		"it goes on, and an update": {func(o *plan.Observation) { recorded(o); o.Spec.Revision = "new" }, waits},
		"it goes on, and a server retires": {
			func(o *plan.Observation) { recorded(o); retiring(o, 1) }, waits,
		},
		"it goes on without a leader": {
			func(o *plan.Observation) { recorded(o); o.Raft = plan.Raft{Unknown: "nobody answers"} },
			decided{nil, reason.NoLeader, "", "AwaitLeader"},
		},
		"it is over": {
			func(o *plan.Observation) { recorded(o); o.Spec.Restore.Over = true },
			decided{plan.EndRestore{}, reason.Restoring, "is over", "AwaitRestore"},
		},
		"nobody knows how it ended": {func(o *plan.Observation) { recorded(o); o.Spec.Restore.Incomplete = true }, waits},
		"nobody knows how it ended, and another one takes its place": {
			func(o *plan.Observation) { recorded(o); o.Spec.Restore.Next = &plan.Restore{Name: "again", UID: "2"} },
			decided{plan.BeginRestore{Name: "again", UID: "2"}, reason.Restoring, "in the place of back", "AwaitRestore"},
		},
	} {
		t.Run(what, func(t *testing.T) { test.expect(t, healthy(test.change)) })
	}
}

// What a restored snapshot has brought into the catalog is put right, and the cluster is not called healthy before.
func TestTheCatalogAfterARestore(t *testing.T) {
	registered := func(o *plan.Observation) {
		o.Raft.CatalogTold = true
		for i := range o.Servers {
			o.Servers[i].Registration = plan.Registered
			o.Raft.Catalog = append(o.Raft.Catalog, plan.Node{ID: o.Servers[i].ID, Name: o.Servers[i].Name})
		}
	}
	healthily := decided{nil, reason.Healthy, "", ""}
	for what, test := range map[string]struct {
		change func(*plan.Observation)
		decided
		upkeep []plan.Action
	}{
		"all are registered": {registered, healthily, nil},
		"it was not read":    {func(*plan.Observation) {}, healthily, nil},
		"one is not there yet": {
			func(o *plan.Observation) {
				registered(o)
				o.Servers[1].Registration = plan.NotRegistered
			},
			decided{nil, reason.WaitingForCatalog, "consul-1 is not in the catalog", "AwaitCatalog"}, nil,
		},
		"none is there yet": {
			func(o *plan.Observation) {
				registered(o)
				o.Raft.Catalog = nil
				for i := range o.Servers {
					o.Servers[i].Registration = plan.NotRegistered
				}
			},
			decided{nil, reason.WaitingForCatalog, "consul-0 is not in the catalog", "AwaitCatalog"}, nil,
		},
		"another node has its name": {
			func(o *plan.Observation) {
				registered(o)
				o.Servers[1].Registration, o.Raft.Catalog[1].ID = plan.NotRegistered, "former"
			},
			decided{nil, reason.WaitingForCatalog, "another node with the name of consul-1", "AwaitCatalog"},
			[]plan.Action{plan.Deregister{Node: "consul-1", ID: "former"}},
		},
		"another node has the name of a server that is not there": {
			func(o *plan.Observation) {
				registered(o)
				o.Raft.Catalog = append(o.Raft.Catalog, plan.Node{ID: "former", Name: "consul-7"})
			},
			decided{nil, reason.WaitingForCatalog, "a server consul-7 that does not exist", "AwaitCatalog"}, nil,
		},
	} {
		t.Run(what, func(t *testing.T) {
			o := healthy(test.change)
			test.expect(t, o)
			NewWithT(t).Expect(plan.Plan(o, noon).Upkeep).To(Equal(test.upkeep))
		})
	}
}

// unfounded is a cluster that has nothing yet.
func unfounded(change func(*plan.Observation)) plan.Observation {
	return healthy(func(o *plan.Observation) {
		o.Spec.Bootstrapped, o.Spec.NextSerial, o.Servers, o.Raft = false, 0, nil, plan.Raft{}
		o.MinAvailable = new(0)
		change(o)
	})
}

// A new cluster that begins with a snapshot is founded when the snapshot is known to be good, and serves when it is restored.
func TestACluserThatBeginsWithASnapshot(t *testing.T) {
	begins := func(f plan.Founding) func(*plan.Observation) {
		f.Name = "consul-new"
		return func(o *plan.Observation) { o.Spec.Founding = &f }
	}
	waits := plan.Problem{Reason: reason.InspectingSnapshot, Message: "the Job reads it"}
	creates := decided{plan.CreateServer{BootstrapExpect: 3}, reason.Bootstrapping, "", "Bootstrap"}
	for what, test := range map[string]struct {
		seen plan.Observation
		decided
	}{
		"it is recorded first": {
			unfounded(begins(plan.Founding{Asked: true})),
			decided{plan.BeginFounding{}, reason.Bootstrapping, "begins with a snapshot", "FoundFromSnapshot"},
		},
		"the restore is asked for": {
			unfounded(begins(plan.Founding{Asked: true, Recorded: true})),
			decided{plan.AskRestore{Name: "consul-new"}, reason.Bootstrapping, "", "FoundFromSnapshot"},
		},
		"the snapshot is read": {
			unfounded(begins(plan.Founding{Asked: true, Recorded: true, Exists: true, Ready: waits})),
			decided{nil, reason.InspectingSnapshot, "ConsulRestore consul-new: the Job reads it", "FoundFromSnapshot"},
		},
		"it can be restored": {
			unfounded(begins(plan.Founding{Asked: true, Recorded: true, Exists: true, Prepared: true})), creates,
		},
		"nobody asks for it any more": {
			unfounded(begins(plan.Founding{Recorded: true})),
			decided{plan.EndFounding{}, reason.Bootstrapping, "", "FoundFromSnapshot"},
		},
		"no client sees it empty": {
			healthy(func(o *plan.Observation) {
				begins(plan.Founding{Asked: true, Recorded: true, Exists: true, Prepared: true, Ready: waits})(o)
				o.Servers[1].Pod.Serving, o.Servers[1].Routed = false, false
			}),
			decided{nil, reason.InspectingSnapshot, "begins with a snapshot", "AwaitFounding"},
		},
		"it is restored": {
			healthy(begins(plan.Founding{Asked: true, Recorded: true, Exists: true, Prepared: true, Restored: true})),
			decided{plan.EndFounding{}, reason.Bootstrapping, "has the data", "FoundFromSnapshot"},
		},
	} {
		t.Run(what, func(t *testing.T) { test.expect(t, test.seen) })
	}
}

// The volumes of a former cluster are taken over one by one, and their servers elect a leader as they always did.
func TestVolumesOfAFormerClusterAreTakenOver(t *testing.T) {
	former := func(change func(*plan.FormerVolumes)) func(*plan.Observation) {
		volumes := &plan.FormerVolumes{Of: "former", Identity: "first", Servers: []string{"consul-0", "consul-4"}}
		change(volumes)
		return func(o *plan.Observation) { o.Spec.FormerVolumes = volumes }
	}
	recorded := func(change func(*plan.FormerVolumes)) func(*plan.Observation) {
		return func(o *plan.Observation) {
			former(func(f *plan.FormerVolumes) { f.Recorded = true; change(f) })(o)
			o.Spec.Bootstrapped = true
		}
	}
	as := func(*plan.FormerVolumes) {}
	for what, test := range map[string]struct {
		seen plan.Observation
		decided
	}{
		"that they are is recorded first": {
			unfounded(former(as)),
			decided{plan.BeginAdoption{Of: "former", Identity: "first"}, reason.Bootstrapping, "2 volumes", "Bootstrap"},
		},
		"there are none": {
			unfounded(former(func(f *plan.FormerVolumes) {
				f.Missing = &plan.Problem{Reason: reason.InvalidSpec, Message: "spec.bootstrap.fromVolumes: none"}
			})),
			decided{nil, reason.InvalidSpec, "spec.bootstrap.fromVolumes: none", "Bootstrap"},
		},
		"one after the other": {
			unfounded(recorded(as)),
			decided{plan.AdoptVolume{Server: "consul-0"}, reason.Bootstrapping, "consul-0", "AdoptVolumes"},
		},
		"all are taken over, and nobody leads yet": {
			healthy(func(o *plan.Observation) {
				recorded(func(f *plan.FormerVolumes) { f.Servers = nil })(o)
				o.Raft = plan.Raft{Unknown: "nobody answers"}
			}),
			decided{nil, reason.NoLeader, "", "AwaitLeader"},
		},
		"most are not there, and may be on their way: no quorum is recovered without a person": {
			healthy(func(o *plan.Observation) {
				withoutLeader(o, 1, 2)
				automatic(o, 0)
				recorded(func(f *plan.FormerVolumes) { f.Servers = nil })(o)
			}),
			decided{nil, reason.QuorumLost, "kubectl annotate", "RecoverQuorum"},
		},
		"all are taken over": {
			healthy(recorded(func(f *plan.FormerVolumes) { f.Servers = nil })),
			decided{plan.EndAdoption{}, reason.Bootstrapping, "", "AdoptVolumes"},
		},
	} {
		t.Run(what, func(t *testing.T) { test.expect(t, test.seen) })
	}
}
