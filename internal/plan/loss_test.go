package plan_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/internal/plan"
)

// Whoever gives up those whom the message asks for recovers the quorum: no other list of names does.
func TestWhoIsAskedForIsWhoHasToBeGivenUp(t *testing.T) {
	for name, change := range map[string]func(o *plan.Observation){
		"volumes are gone":            func(o *plan.Observation) { withoutLeader(o, 0, 1) },
		"one more is down, and stuck": func(o *plan.Observation) { five(o); withoutLeader(o, 0, 1, 2); overdue(down(o, 0)) },
		"some were never ours":        func(o *plan.Observation) { withoutLeader(o, 0); strangers(o, 2) },
		"a person has named others": func(o *plan.Observation) {
			withoutLeader(o, 0, 1)
			o.Spec.AcceptedLoss = []string{"consul-0"}
		},
		"all volumes are there, and two do hang": func(o *plan.Observation) {
			withoutLeader(o)
			overdue(down(o, 0))
			overdue(down(o, 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o := healthy(change)
			d := plan.Plan(o, noon)
			names := plan.AskedToGiveUp(d.Message)
			g.Expect(names).NotTo(BeEmpty(), d.Message)
			o.Spec.AcceptedLoss = names
			after := plan.Plan(o, noon)
			g.Expect(after.Step).To(BeAssignableToTypeOf(plan.BeginRecovery{}), after.Message)
			g.Expect(after.Step.(plan.BeginRecovery).Lost).To(Equal(names))
			g.Expect(plan.AskedToGiveUp(d.Message[:len(d.Message)-2]+"…")).To(BeEmpty(), "some names only")
		})
	}
}

func TestNobodyIsAskedFor(t *testing.T) {
	for name, change := range map[string]func(o *plan.Observation){
		"healthy":                     func(*plan.Observation) {},
		"paused":                      func(o *plan.Observation) { withoutLeader(o, 0, 1); o.Spec.Paused = true },
		"all servers are gone":        func(o *plan.Observation) { withoutLeader(o); o.Servers = nil },
		"one may yet say what it has": func(o *plan.Observation) { five(o); withoutLeader(o, 0, 1, 2); down(o, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			message := plan.Plan(healthy(change), noon).Message
			NewWithT(t).Expect(plan.AskedToGiveUp(message)).To(BeEmpty(), message)
			NewWithT(t).Expect(plan.AskedToGiveUp(message+strings.Repeat("x", 99))).To(BeEmpty(), message)
		})
	}
}
