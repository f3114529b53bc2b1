package plan_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// A Secret that a person takes away from a running cluster is asked for when nothing else is left to do.
func TestASecretThatCannotBeUsed(t *testing.T) {
	g := NewWithT(t)
	bad := &plan.Problem{Reason: reason.InvalidSpec, Message: "the Secret mine does not exist"}
	d := plan.Plan(healthy(func(o *plan.Observation) { o.Spec.Unusable = bad }), noon)
	g.Expect(d.Rule).To(Equal("AwaitSecrets"))
	g.Expect(d.Reason).To(Equal(reason.InvalidSpec))
	g.Expect(d.Message).To(Equal("the Secret mine does not exist"))

	d = plan.Plan(healthy(func(o *plan.Observation) {
		o.Spec.Unusable, o.Spec.Replicas = bad, 5
	}), noon)
	g.Expect(d.Step).To(BeAssignableToTypeOf(plan.CreateServer{}), "everything else goes on")
}
