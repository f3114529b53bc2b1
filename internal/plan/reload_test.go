package plan_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// reloadable is a healthy cluster whose servers have read the settings that are wanted.
func reloadable(o *plan.Observation) {
	o.Spec.Settings = "new"
	for i := range o.Servers {
		o.Servers[i].Pod.Reloads = true
		given(o, i, "new", noon.Add(-time.Hour))
		o.Servers[i].Agent.Settings = "new"
	}
}

// given is a server whose file was changed.
func given(o *plan.Observation, i int, settings string, at time.Time) {
	o.Servers[i].Pod.Settings, o.Servers[i].Pod.GivenAt = settings, at
}

// behindAll are servers that have the former settings.
func behindAll(o *plan.Observation) {
	reloadable(o)
	for i := range o.Servers {
		given(o, i, "old", noon.Add(-time.Hour))
		o.Servers[i].Agent.Settings = "old"
	}
}

func TestReload(t *testing.T) {
	give := func(server string) plan.Action { return plan.GiveSettings{Server: server} }
	reload := func(server string) plan.Action { return plan.Reload{Server: server} }
	for name, test := range map[string]struct {
		change func(o *plan.Observation)
		upkeep []plan.Action
	}{
		"I5 all have read them":                          {reloadable, nil},
		"one at a time, and no leader before a follower": {behindAll, []plan.Action{give("consul-1")}},
		"its file was changed: it reads it": {
			func(o *plan.Observation) { behindAll(o); given(o, 1, "new", noon) }, []plan.Action{reload("consul-1")},
		},
		"it does not answer: the others wait": {
			func(o *plan.Observation) { behindAll(o); given(o, 1, "new", noon); o.Servers[1].Agent = plan.Agent{} }, nil,
		},
		"it has read it a moment ago: the next one waits": {
			func(o *plan.Observation) {
				behindAll(o)
				given(o, 1, "new", noon.Add(-14*time.Second))
				o.Servers[1].Agent.Settings = "new"
			}, nil,
		},
		"it was ready for a while: the next one": {
			func(o *plan.Observation) {
				behindAll(o)
				given(o, 1, "new", noon.Add(-15*time.Second))
				o.Servers[1].Agent.Settings = "new"
			}, []plan.Action{give("consul-2")},
		},
		"it is not ready any more: the others keep what they have": {
			func(o *plan.Observation) {
				behindAll(o)
				given(o, 1, "new", noon.Add(-time.Minute))
				o.Servers[1].Agent.Settings, o.Servers[1].Pod.Ready = "new", false
			}, nil,
		},
		"those that are not ready have nothing to lose, with or without a leader": {
			func(o *plan.Observation) {
				behindAll(o)
				o.Raft = plan.Raft{}
				for i := range o.Servers {
					o.Servers[i].Pod.Ready = false
				}
				given(o, 1, "new", noon)
			}, []plan.Action{reload("consul-1"), give("consul-0"), give("consul-2")},
		},
		"the file of a process that does not run is changed": {
			func(o *plan.Observation) {
				reloadable(o)
				given(o, 1, "old", noon)
				o.Servers[1].Pod.Ready, o.Servers[1].Pod.Running, o.Servers[1].Agent = false, false, plan.Agent{}
			}, []plan.Action{give("consul-1")},
		},
		"the leader is the last one": {
			func(o *plan.Observation) { reloadable(o); given(o, 0, "old", noon) }, []plan.Action{give("consul-0")},
		},
		"settings that are taken back": {
			func(o *plan.Observation) { reloadable(o); o.Spec.Settings = "" }, []plan.Action{give("consul-1")},
		},
		"not while paused":                  {func(o *plan.Observation) { behindAll(o); o.Spec.Paused = true }, nil},
		"not where the spec is not honored": {func(o *plan.Observation) { behindAll(o); o.Spec.Invalid = &plan.Problem{} }, nil},
		"not while a quorum is recovered": {
			func(o *plan.Observation) { behindAll(o); o.Spec.Recovery = &plan.Recovery{Survivor: "consul-0"} }, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(plan.Plan(healthy(test.change), noon).Upkeep).To(Equal(test.upkeep))
		})
	}
}

func TestAwaitReload(t *testing.T) {
	g := NewWithT(t)
	d := plan.Plan(healthy(func(o *plan.Observation) {
		behindAll(o)
		given(o, 1, "new", noon)
		o.Servers[1].Agent.Settings = "new"
	}), noon)
	g.Expect(d.Rule).To(Equal("AwaitReload"))
	g.Expect(d.Reason).To(Equal(reason.ReloadingSettings))
	g.Expect(d.Message).To(Equal("1 of 3 servers have read spec.config again, without a restart; next is consul-2"))
	g.Expect(d.RequeueAfter).To(Equal(time.Second))
	g.Expect(plan.Plan(healthy(reloadable), noon).Done).To(BeTrue())
}

// A pod of an older operator has no file that can be read again: its server is replaced, as for any other change.
func TestPodsThatCannotReadAgain(t *testing.T) {
	g := NewWithT(t)
	old := func(o *plan.Observation) {
		for i := range o.Servers {
			o.Servers[i].Pod.Reloads, o.Servers[i].Pod.Settings, o.Servers[i].Agent.Settings = false, "", ""
		}
	}
	g.Expect(plan.Plan(healthy(old), noon).Done).To(BeTrue(), "without settings they are as good as others")
	g.Expect(plan.Plan(healthy(func(o *plan.Observation) { reloadable(o); old(o) }), noon).Step).To(
		Equal(plan.CreateServer{Serial: 3}))
	g.Expect(plan.Plan(healthy(func(o *plan.Observation) {
		reloadable(o)
		old(o)
		o.Spec.InPlace, o.Spec.Replicas, o.Raft.MinQuorum, o.Servers = true, 1, 1, o.Servers[:1]
	}), noon).Step).To(Equal(plan.DeletePod{Server: "consul-0"}), "a single server in place gets another pod")
}
