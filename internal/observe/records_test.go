package observe_test

import (
	"cmp"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// A record that cannot be read is not the same as one that was never written (I8): the message says how to repair it.
func TestDamagedRecords(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(w *world)
		remedy string
	}{
		"a serial that is no number": {
			func(w *world) { w.cluster.Annotations[v1alpha1.AnnotationNextSerial] = "many" },
			"kubectl annotate consulcluster consul -n default --overwrite consuloperator.io/next-serial=3,",
		},
		"a negative serial": {
			func(w *world) { w.cluster.Annotations[v1alpha1.AnnotationNextSerial] = "-1" }, "next-serial=3,",
		},
		"an empty serial": {
			func(w *world) { w.cluster.Annotations[v1alpha1.AnnotationNextSerial] = "" }, "next-serial=3,",
		},
		"a recovery that is not JSON": {
			func(w *world) { w.cluster.Annotations[v1alpha1.AnnotationRecovery] = "{" },
			"kubectl annotate consulcluster consul -n default consuloperator.io/recovery-",
		},
		"a recovery without a survivor": {
			func(w *world) {
				w.cluster.Annotations[v1alpha1.AnnotationRecovery] = `{"id":"now","lost":["consul-0"]}`
			},
			"id or survivor is missing",
		},
		"a founder of a cluster without a leader so far": {
			func(w *world) {
				delete(w.cluster.Annotations, v1alpha1.AnnotationBootstrapped)
				w.claims[1].Annotations[v1alpha1.AnnotationBootstrapExpect] = "three"
			},
			"volume claim of consul-1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			test.damage(w)
			s := w.look()
			problem := cmp.Or(s.Damaged, s.Spec.Invalid)
			w.Expect(problem).NotTo(BeNil())
			w.Expect(problem.Reason).To(Equal(reason.DamagedRecord))
			w.Expect(problem.Message).To(ContainSubstring(test.remedy))
		})
	}
}

// Without a serial no server is created, and pods come back all the same.
func TestADamagedSerialHoldsUpNewServersOnly(t *testing.T) {
	w := newWorld(t)
	w.cluster.Annotations[v1alpha1.AnnotationNextSerial] = "many"
	w.pods = w.pods[:2]
	s := w.look()
	w.Expect(s.Damaged).To(BeNil())
	d := plan.Plan(s.Observation, now)
	w.Expect(d.Step).To(BeNil())
	w.Expect(d.Reason).To(Equal(reason.DamagedRecord))
	w.Expect(d.Upkeep).To(ContainElement(plan.CreatePod{Server: "consul-2"}))
}

func TestRecordsThatAreNotWrittenYet(t *testing.T) {
	w := newWorld(t)
	w.cluster.Annotations = nil
	s := w.look()
	w.Expect(s.Damaged).To(BeNil())
	w.Expect(s.Spec.NextSerial).To(Equal(3), "after the claims that are there")
}

// What the API server refused in one pass is a part of the next Observation.
func TestARefusalIsRemembered(t *testing.T) {
	w := newWorld(t)
	w.Expect(w.look().Refused).To(BeNil())
	w.cluster.Status.Refusal = `pods "consul-3" is forbidden: exceeded quota`
	w.Expect(w.look().Refused.Reason).To(Equal(reason.InvalidSpec))
	w.Expect(w.look().Refused.Message).To(HaveSuffix("exceeded quota"))
	w.cluster.Status.Refusal = observe.NameTaken("Service consul exists")
	w.Expect(w.look().Refused).To(HaveValue(Equal(plan.Problem{Reason: reason.NameTaken, Message: "Service consul exists"})))
	w.cluster.Generation++
	w.Expect(w.look().Refused).To(BeNil(), "a spec that has changed may be accepted")
}
