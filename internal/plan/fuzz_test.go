package plan_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/consul-operator/consul-operator/internal/plan"
)

// FuzzPlan gives the planner pictures that no cluster shows, too: it must not panic, must be a function, and must keep
// what can be said without knowing the truth. The corpus is in testdata/fuzz.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 1, 10, 1, 0, 3, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x55})
	f.Fuzz(func(t *testing.T, raw []byte) {
		o := imagine(&dice{raw: raw})
		d := plan.Plan(o, noon)
		if again := plan.Plan(o, noon); !reflect.DeepEqual(d, again) {
			t.Fatalf("two decisions for one observation:\n%+v\n%+v", d, again)
		}
		if d.Reason == "" || d.Message == "" {
			t.Fatalf("a decision without a reason: %+v", d)
		}
		forPerson := o.Damaged != nil || o.Spec.Invalid != nil || o.Spec.Paused
		if d.Step == nil && !d.Done && d.RequeueAfter == 0 && !forPerson {
			t.Fatalf("waits and never requeues: %+v", d)
		}
		keepsWhatCanBeSeen(t, o, d)
		namesWhatIsPruned(t, o, d)
	})
}

func namesWhatIsPruned(t *testing.T, o plan.Observation, d plan.Decision) {
	t.Helper()
	disagreements := plan.Disagreements(o, noon)
	named := func(name string) bool {
		return slices.ContainsFunc(disagreements, func(d plan.Disagreement) bool {
			return d.Name == name && d.Problem != "" && d.Action != ""
		})
	}
	switch step := d.Step.(type) {
	case plan.ForceLeave:
		if !named(step.Node) {
			t.Fatalf("%+v is not named: %+v", step, disagreements)
		}
	case plan.RemovePeer:
		if !named(step.Name) {
			t.Fatalf("%+v is not named: %+v", step, disagreements)
		}
	}
}

func keepsWhatCanBeSeen(t *testing.T, o plan.Observation, d plan.Decision) {
	t.Helper()
	find := func(name string) plan.Server {
		return o.Servers[slices.IndexFunc(o.Servers, func(s plan.Server) bool { return s.Name == name })]
	}
	switch step := d.Step.(type) {
	case plan.TransferLeadership:
		if to := find(step.To); !o.Raft.Known || to.Peer == nil || !to.Peer.Voter || to.Health != plan.HealthHealthy {
			t.Fatalf("I3: leadership goes to %+v", to)
		}
	case plan.Leave:
		if s := find(step.Server); !o.Raft.Known || !s.Retiring || s.Routed || s.Name == o.Raft.Leader {
			t.Fatalf("I3, I9: %+v leaves", s)
		}
	case plan.MarkRetiring:
		if slices.ContainsFunc(o.Servers, func(s plan.Server) bool { return s.Retiring }) || o.Spec.Paused {
			t.Fatalf("I2: %s is to retire beside another one, or while paused", step.Server)
		}
	case plan.SetRevision:
		if s := find(step.Server); s.Retiring && (s.Peer != nil || s.Pod != nil) && o.Raft.Known {
			t.Fatalf("I2: %+v is said to have come back", s)
		}
	case plan.ReleaseClaim:
		if s := find(step.Server); s.Peer != nil || s.Pod != nil || !o.Raft.Known {
			t.Fatalf("I4: the claim of %+v is released", s)
		}
	case plan.ForceLeave, plan.RemovePeer:
		if !o.Raft.Known {
			t.Fatalf("I4: %+v without a leader", step)
		}
	case plan.CreateServer:
		if step.BootstrapExpect > 0 && o.Spec.Bootstrapped {
			t.Fatalf("I8: %+v in a cluster that exists", step)
		}
	}
}

// dice takes decisions from bytes, and 0 for ever when they are used up.
type dice struct{ raw []byte }

func (d *dice) below(n int) int {
	if len(d.raw) == 0 {
		return 0
	}
	b := int(d.raw[0])
	d.raw = d.raw[1:]
	return b % n
}

func (d *dice) flip() bool { return d.below(2) == 1 }

func imagine(d *dice) plan.Observation {
	o := plan.Observation{Spec: plan.Spec{
		Replicas: 1 + 2*d.below(4), MaxSurge: 1 + d.below(5), LeaderStableFor: time.Duration(d.below(20)) * time.Second,
		Revision: revision(d), Paused: d.below(8) == 1, NextSerial: 12,
	}}
	if d.below(16) == 1 {
		o.Damaged = &plan.Problem{Reason: "Damaged", Message: "damaged"}
	}
	o.Spec.Bootstrapped = d.below(8) != 1
	if d.below(16) == 1 {
		o.Spec.Invalid = &plan.Problem{Reason: "Bad", Message: "bad"}
	}
	if d.below(8) == 1 {
		o.Spec.Transfer = &plan.TransferRequest{To: []string{"", "consul-0", "consul-1", "nobody"}[d.below(4)]}
	}
	known := d.below(8) != 1
	servers := d.below(10)
	for serial := range servers {
		o.Servers = append(o.Servers, imagineServer(d, serial, known))
	}
	if known && servers > 0 {
		o.Raft = plan.Raft{
			Known: true, Leader: o.Servers[d.below(servers)].Name, LeaderSince: noon.Add(-time.Duration(d.below(30)) * time.Second),
			MinQuorum: d.below(8),
		}
		imagineRaft(d, &o)
	}
	o.Spec.InPlace = d.flip()
	for i := range o.Servers {
		o.Servers[i].InPlace = o.Servers[i].Retiring && d.flip()
	}
	return o
}

func revision(d *dice) string { return []string{"new", "old", "older"}[d.below(3)] }

func imagineServer(d *dice, serial int, known bool) plan.Server {
	name := fmt.Sprintf("consul-%d", serial)
	s := plan.Server{
		Name: name, Serial: serial, ID: "id-" + name, Revision: revision(d), BootstrapExpect: d.below(4),
		Retiring: d.below(8) == 1, ClaimDeleting: d.below(16) == 1, Routed: d.flip(),
		Agent: plan.Agent{Answered: d.below(4) != 1, LastIndex: uint64(d.below(3))}, //nolint:gosec // small
	}
	if d.below(8) != 1 {
		s.Pod = &plan.Pod{
			Revision: revision(d), Running: d.below(4) != 1, Ready: d.flip(), Serving: d.flip(), Terminating: d.below(8) == 1,
			Finished: d.below(16) == 1, ServingFrom: noon.Add(-time.Duration(d.below(4)) * time.Second),
			Cordoned: d.below(8) == 1, StopBy: noon.Add(-time.Duration(d.below(4)) * 20 * time.Second),
		}
	}
	if known {
		s.Member = []plan.MemberStatus{"alive", "alive", "failed", "left", "leaving", ""}[d.below(6)]
		s.Health = []plan.Health{"healthy", "healthy", "unhealthy", ""}[d.below(4)]
		if d.below(4) != 1 {
			s.Peer = &plan.Peer{ID: s.ID, Name: name, Voter: d.below(4) != 1}
		}
	}
	return s
}

func imagineRaft(d *dice, o *plan.Observation) {
	for _, s := range o.Servers {
		if s.Peer != nil {
			o.Raft.Peers = append(o.Raft.Peers, *s.Peer)
		}
		if s.Member != plan.MemberAbsent {
			o.Raft.Members = append(o.Raft.Members, plan.Member{ID: s.ID, Name: s.Name, Status: s.Member})
		}
	}
	for i := range d.below(3) {
		id := fmt.Sprintf("stray-%d", i)
		o.Raft.Peers = append(o.Raft.Peers, plan.Peer{ID: id, Name: id, Voter: d.flip()})
		if status := []plan.MemberStatus{"alive", "failed", "left", ""}[d.below(4)]; status != "" {
			o.Raft.Members = append(o.Raft.Members, plan.Member{ID: id, Name: id, Status: status})
		}
	}
}
