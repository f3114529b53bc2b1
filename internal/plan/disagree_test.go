package plan_test

import (
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/internal/plan"
)

// listed is a cluster whose catalog is known.
func listed(change func(o *plan.Observation)) plan.Observation {
	return healthy(func(o *plan.Observation) {
		o.Raft.CatalogTold = true
		for i := range o.Servers {
			s := &o.Servers[i]
			s.Registration = plan.Registered
			o.Raft.Catalog = append(o.Raft.Catalog, plan.Node{ID: s.ID, Name: s.Name})
		}
		change(o)
	})
}

// unlisted takes a server out of the catalog.
func unlisted(o *plan.Observation, i int) *plan.Server {
	s := &o.Servers[i]
	s.Registration = plan.NotRegistered
	o.Raft.Catalog = slices.DeleteFunc(o.Raft.Catalog, func(n plan.Node) bool { return n.ID == s.ID })
	return s
}

// unknownToAll is a server that is in no list.
func unknownToAll(o *plan.Observation, i int) *plan.Server {
	s := unlisted(o, i)
	s.Peer, s.Member, s.Health, s.Routed = nil, plan.MemberAbsent, plan.HealthUnknown, false
	return s
}

const (
	leftAlone  = "none, since it is alive: if it does not belong here, run `consul leave` on it and see that it does not join again"
	notOne     = "no server of this cluster"
	ofOurs     = "a server of this cluster"
	ofOursLost = "a server of this cluster, a voter in Raft and in the catalog, but failed in Serf"
	nowhere    = "a server of this cluster, but not in Raft, not in Serf and not in the catalog"
	paused     = "spec.paused is set: no server is created, replaced or retired"
)

// What people are told that the operator does is what it does next.
func TestDisagreements(t *testing.T) {
	for name, test := range map[string]struct {
		change               func(o *plan.Observation)
		who, problem, action string
		step                 plan.Action
	}{
		"a dead stray": {
			func(o *plan.Observation) {
				stray(o, plan.MemberFailed)
				o.Raft.Catalog = append(o.Raft.Catalog, plan.Node{ID: "x", Name: "gone"})
			}, "gone", "a voter in Raft and in the catalog, but failed in Serf and " + notOne,
			"the operator tells Serf that it has left, then removes it from Raft", plan.ForceLeave{Node: "gone"},
		},
		"a stray that left, after force-leave": {
			func(o *plan.Observation) { stray(o, plan.MemberLeft) }, "gone",
			"a voter in Raft, but left in Serf, not in the catalog and " + notOne,
			"the operator removes it from Raft", plan.RemovePeer{ID: "x", Name: "gone"},
		},
		"a stray that Serf does not know, and nobody its name": {
			func(o *plan.Observation) {
				stray(o, plan.MemberAbsent)
				last := &o.Raft.Peers[len(o.Raft.Peers)-1]
				last.Name, last.Voter = "", false
			}, "x", "a non-voter in Raft, but not in Serf, not in the catalog and " + notOne,
			"the operator removes it from Raft", plan.RemovePeer{ID: "x"},
		},
		"dead strays are pruned while paused, too": {
			func(o *plan.Observation) { stray(o, plan.MemberLeft); o.Spec.Paused = true }, "gone",
			"a voter in Raft, but left in Serf, not in the catalog and " + notOne,
			"the operator removes it from Raft", plan.RemovePeer{ID: "x", Name: "gone"},
		},
		"a dead stray that is no peer": {
			func(o *plan.Observation) {
				o.Raft.Members = []plan.Member{{ID: "x", Name: "gone", Status: plan.MemberFailed}}
			}, "gone", "not in Raft, failed in Serf, not in the catalog and " + notOne,
			"the operator tells Serf that it has left", plan.ForceLeave{Node: "gone"},
		},
		"a stray that is alive": {
			func(o *plan.Observation) {
				stray(o, plan.MemberAlive)
				o.Raft.Catalog = append(o.Raft.Catalog, plan.Node{ID: "x", Name: "gone"})
			}, "gone", "a voter in Raft, alive in Serf and in the catalog, but " + notOne, leftAlone, nil,
		},
		"a stray that is alive and no peer yet": {
			func(o *plan.Observation) {
				o.Raft.Members = []plan.Member{{ID: "x", Name: "new", Status: plan.MemberAlive}}
			}, "new", "alive in Serf, but not in Raft, not in the catalog and " + notOne, leftAlone, nil,
		},
		"a stray that leaves": {
			func(o *plan.Observation) { stray(o, plan.MemberLeaving) }, "gone",
			"a voter in Raft and leaving in Serf, but not in the catalog and " + notOne,
			"the operator waits until it has left", nil,
		},
		"a node that only the catalog knows": {
			func(o *plan.Observation) { o.Raft.Catalog = append(o.Raft.Catalog, plan.Node{ID: "x", Name: "gone"}) }, "gone",
			"in the catalog, but not in Raft, not in Serf and " + notOne,
			"none: Consul's leader deregisters it within a minute, unless it was registered by hand", nil,
		},
		"a server that is updated in place": {
			func(o *plan.Observation) { gone(inPlace(o)); unlisted(o, 1) }, "consul-1",
			"a server of this cluster, but not in Raft, left in Serf and not in the catalog",
			"it is updated in place: the operator waits until it is gone from Raft, then starts it again on its volume",
			plan.SetRevision{Server: "consul-1"},
		},
		"a peer that Serf has lost": {
			func(o *plan.Observation) { sick(o, 1, time.Minute) }, "consul-1", ofOursLost,
			"the operator waits until it is back; it is replaced at 12:04:00 UTC unless it recovers", nil,
		},
		"a peer that Serf has lost a moment ago": {
			func(o *plan.Observation) { o.Servers[1].Member = plan.MemberFailed }, "consul-1", ofOursLost,
			"the operator waits until it is back", nil,
		},
		"a peer that Serf has lost for good": {
			func(o *plan.Observation) { sick(o, 1, time.Hour).Failed = true }, "consul-1", ofOursLost,
			"another server takes its place", plan.CreateServer{Serial: 3},
		},
		"a peer that Serf has lost, where nobody is replaced": {
			func(o *plan.Observation) { sick(o, 1, time.Hour); o.Spec.ReplaceFailedAfter = 0 }, "consul-1", ofOursLost,
			"the operator waits until it is back; it is not replaced, since spec.failureReplacement.after is 0s", nil,
		},
		"a peer that Serf has lost, while paused": {
			func(o *plan.Observation) { sick(o, 1, time.Minute); o.Spec.Paused = true }, "consul-1", ofOursLost,
			"the operator waits until it is back; " + paused, nil,
		},
		"a peer that Serf has lost for good, while paused": {
			func(o *plan.Observation) { sick(o, 1, time.Hour).Failed = true; o.Spec.Paused = true }, "consul-1", ofOursLost,
			"none for now: " + paused, nil,
		},
		"a peer that Serf never met": {
			func(o *plan.Observation) { sick(o, 1, time.Minute).Member = plan.MemberAbsent }, "consul-1",
			"a server of this cluster, a voter in Raft and in the catalog, but not in Serf",
			"the operator waits until it is back; it is replaced at 12:04:00 UTC unless it recovers", nil,
		},
		"a server that a person made leave": {
			func(o *plan.Observation) { o.Servers[1].Member = plan.MemberLeft }, "consul-1",
			"a server of this cluster, a voter in Raft and in the catalog, but left in Serf",
			"the operator waits until it joins", nil,
		},
		"a server that starts": {
			func(o *plan.Observation) { unknownToAll(o, 2).Pod.Running = false }, "consul-2", nowhere,
			"the operator waits until it joins", nil,
		},
		"a server that joins": {
			func(o *plan.Observation) { unknownToAll(o, 2).Member = plan.MemberAlive }, "consul-2",
			ofOurs + " and alive in Serf, but not in Raft and not in the catalog",
			"the operator waits: Consul's leader adds it to Raft", nil,
		},
		"a server that has joined": {
			func(o *plan.Observation) { unlisted(o, 2).Peer.Voter = false }, "consul-2",
			"a server of this cluster, a non-voter in Raft and alive in Serf, but not in the catalog",
			"none: Consul's leader registers it", nil,
		},
		"an idle server of another revision": {
			func(o *plan.Observation) { s := unknownToAll(o, 2); s.Revision, s.Pod.Revision = "old", "old" }, "consul-2", nowhere,
			"it is replaced by one with the wanted revision", plan.DeletePod{Server: "consul-2"},
		},
		"a server that has left for good": {
			func(o *plan.Observation) {
				fourth(o)
				unknownToAll(o, 1)
				retiring(o, 1).Member = plan.MemberLeft
				o.Raft.Catalog, o.Raft.CatalogTold = nil, false
			},
			"consul-1", "a server of this cluster, but not in Raft and left in Serf",
			"it retires: the operator waits until it is gone from Raft, then removes its pod and its claim",
			plan.DeletePod{Server: "consul-1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o := listed(test.change)
			got := plan.Disagreements(o, noon)
			g.Expect(got).To(HaveLen(1))
			g.Expect(got[0].Name).To(Equal(test.who))
			g.Expect(got[0].Problem).To(Equal(test.problem))
			g.Expect(got[0].Action).To(Equal(test.action))
			if test.step == nil {
				g.Expect(plan.Plan(o, noon).Step).To(BeNil())
			} else {
				g.Expect(plan.Plan(o, noon).Step).To(Equal(test.step))
			}
		})
	}
}

func TestAgreement(t *testing.T) {
	for name, change := range map[string]func(o *plan.Observation){
		"all know all":             func(*plan.Observation) {},
		"a catalog that is hidden": func(o *plan.Observation) { unlisted(o, 2); o.Raft.Catalog, o.Raft.CatalogTold = nil, false },
		"a server to be promoted":  func(o *plan.Observation) { o.Servers[2].Peer.Voter = false },
		"a server that is leaving": func(o *plan.Observation) { retiring(o, 1).Member = plan.MemberLeaving },
		"Serf remembers who left": func(o *plan.Observation) {
			o.Raft.Members = []plan.Member{{ID: "x", Name: "gone", Status: plan.MemberLeft}}
		},
		"unknown is not absent": func(o *plan.Observation) { o.Raft.Known = false; unknownToAll(o, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(plan.Disagreements(listed(change), noon)).To(BeEmpty())
		})
	}
}

// Serf tells its members in another order each time: the status must not differ by it.
func TestDisagreementsHaveAnOrder(t *testing.T) {
	g := NewWithT(t)
	strays := func(change func(*plan.Observation)) []plan.Disagreement {
		return plan.Disagreements(listed(func(o *plan.Observation) {
			o.Raft.Members = []plan.Member{
				{ID: "y", Name: "b", Status: plan.MemberFailed}, {ID: "z", Name: "a", Status: plan.MemberAlive},
				{ID: "x", Name: "b", Status: plan.MemberAlive},
			}
			o.Servers[2].Member = plan.MemberFailed
			change(o)
		}), noon)
	}
	once := strays(func(*plan.Observation) {})
	g.Expect(strays(func(o *plan.Observation) { slices.Reverse(o.Raft.Members) })).To(Equal(once))
	var ids []string
	for _, d := range once {
		ids = append(ids, d.ID)
	}
	g.Expect(ids).To(Equal([]string{"consul-2", "z", "x", "y"}), "servers first, then strays by name")
}
