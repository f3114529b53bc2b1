// Package argocd runs the health check for Argo CD in the interpreter that Argo CD has.
package argocd

import (
	"testing"

	. "github.com/onsi/gomega"
	lua "github.com/yuin/gopher-lua"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

const script = "../../../config/argocd/health.lua"

// conditions are Ready for this reason, and Stalled if a person has to act.
func conditions(ready metav1.ConditionStatus, why reason.Reason) []metav1.Condition {
	stalled := metav1.ConditionFalse
	if why.Stalls() {
		stalled = metav1.ConditionTrue
	}
	return []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: ready, Reason: string(why), Message: "says so"},
		{Type: v1alpha1.ConditionStalled, Status: stalled, Reason: string(why), Message: "says so"},
	}
}

func TestHealth(t *testing.T) {
	for name, test := range map[string]struct {
		object         any
		health, saying string
	}{
		"new":     {&v1alpha1.ConsulCluster{}, "Progressing", "the operator has not looked at it yet"},
		"changed": {cluster(4, metav1.ConditionTrue, reason.Healthy), "Progressing", "the operator has not looked at it yet"},
		"healthy": {cluster(3, metav1.ConditionTrue, reason.Healthy), "Healthy", "Healthy: says so"},
		"upgrade": {cluster(3, metav1.ConditionFalse, reason.WaitingForVoter), "Progressing", "WaitingForVoter: says so"},
		"stalled": {cluster(3, metav1.ConditionFalse, reason.QuorumLost), "Degraded", "QuorumLost: says so"},
		"paused":  {cluster(3, metav1.ConditionFalse, reason.Paused), "Suspended", "Paused: says so"},
		"snapshot": {&v1alpha1.ConsulSnapshot{Status: v1alpha1.ConsulSnapshotStatus{
			Conditions: conditions(metav1.ConditionFalse, reason.SnapshotDamaged),
		}}, "Degraded", "SnapshotDamaged: says so"},
		"restore": {&v1alpha1.ConsulRestore{Status: v1alpha1.ConsulRestoreStatus{
			Conditions: conditions(metav1.ConditionTrue, reason.Restored),
		}}, "Healthy", "Restored: says so"},
		"schedule": {&v1alpha1.ConsulSnapshotSchedule{Status: v1alpha1.ConsulSnapshotScheduleStatus{
			Conditions: conditions(metav1.ConditionTrue, reason.Suspended),
		}}, "Suspended", "Suspended: says so"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			health, saying := judge(t, test.object)
			g.Expect(health).To(Equal(test.health))
			g.Expect(saying).To(Equal(test.saying))
		})
	}
}

// cluster is one whose third generation the operator has looked at.
func cluster(generation int64, ready metav1.ConditionStatus, why reason.Reason) *v1alpha1.ConsulCluster {
	c := &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{Generation: generation}}
	c.Status.ObservedGeneration, c.Status.Conditions = 3, conditions(ready, why)
	return c
}

// judge runs the script on an object as Argo CD does: it is the global obj.
func judge(t *testing.T, object any) (health, saying string) {
	t.Helper()
	g := NewWithT(t)
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	g.Expect(err).NotTo(HaveOccurred())
	state := lua.NewState()
	defer state.Close()
	state.SetGlobal("obj", toLua(state, fields))
	g.Expect(state.DoFile(script)).To(Succeed())
	result, isTable := state.Get(-1).(*lua.LTable)
	g.Expect(isTable).To(BeTrue())
	return lua.LVAsString(result.RawGetString("status")), lua.LVAsString(result.RawGetString("message"))
}

// toLua makes tables of JSON.
func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, field := range value {
			table.RawSetString(key, toLua(state, field))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, element := range value {
			table.Append(toLua(state, element))
		}
		return table
	case string:
		return lua.LString(value)
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	}
	return lua.LNil
}
