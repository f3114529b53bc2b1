package observe_test

import (
	"cmp"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
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
		"a serial beyond all": {
			func(w *world) { w.cluster.Annotations[v1alpha1.AnnotationNextSerial] = "900000000000" }, "next-serial=3,",
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
		"a phase of gossip encryption that is none": {
			func(w *world) { w.inPhase("Perhaps") }, "the servers' pods have in the same annotation",
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

// Records travel with a copy of a ConsulCluster and count for the one for which they were written alone. The status does not
// travel, and is a second witness where a person takes the records away.
func TestWhoseRecordsTheyAre(t *testing.T) {
	empty := func(w *world) { w.claims, w.pods = nil, nil }
	bound := func(w *world, uid string) { w.cluster.Annotations[v1alpha1.AnnotationRecordsOf] = uid }
	for name, test := range map[string]struct {
		change       func(w *world)
		count        bool
		bootstrapped bool
		next         int
	}{
		"bound to this cluster": {func(w *world) { bound(w, string(clusterUID)) }, true, true, 9},
		"bound to this cluster, of which nothing is left": {
			func(w *world) { empty(w); bound(w, string(clusterUID)) }, true, true, 9,
		},
		"a copy": {func(w *world) { empty(w); bound(w, "another") }, false, false, 0},
		"a copy that has begun": {
			func(w *world) { w.claims, w.pods = w.claims[:1], nil; bound(w, "another") }, false, false, 1,
		},
		"a copy that has served":              {func(w *world) { bound(w, "another"); w.cluster.Status.Term = 7 }, false, true, 3},
		"before there was a UID, with claims": {func(w *world) { w.pods = nil }, true, true, 9},
		"before there was a UID, with a pod":  {func(w *world) { w.claims = nil }, true, true, 9},
		"before there was a UID, with a retired claim": {
			func(w *world) {
				empty(w)
				w.claims = append(w.claims, claim(w.cluster, "consul-0"))
				w.claims[0].Labels[v1alpha1.LabelRetired] = v1alpha1.RetiredFailed
			}, true, true, 9,
		},
		"before there was a UID, with a status": {
			func(w *world) { empty(w); w.cluster.Status = statusOf(clusterUID, "consul-0") }, true, true, 9,
		},
		"before there was a UID, with a term alone": {func(w *world) { empty(w); w.cluster.Status.Term = 7 }, true, true, 9},
		"before there was a UID, a copy":            {empty, false, false, 0},
		"before there was a UID, a copy beside the claims of the first": {
			func(w *world) { w.pods = nil; w.cluster.UID = "restored" }, false, false, 3,
		},
		"before there was a UID, restored with its status": {
			func(w *world) {
				empty(w)
				w.cluster.Status = statusOf(clusterUID, "consul-0")
				w.cluster.UID = "restored"
			}, false, false, 0,
		},
		"all records were taken away": {
			func(w *world) {
				w.cluster.Annotations = nil
				w.cluster.Status = statusOf(clusterUID, "consul-0", "consul-6")
			}, true, true, 7,
		},
		"the records of a cluster that never served were taken away": {
			func(w *world) { w.cluster.Annotations = nil }, true, false, 3,
		},
		"a new cluster": {func(w *world) { empty(w); w.cluster.Annotations = nil }, false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.cluster.Annotations[v1alpha1.AnnotationNextSerial] = "9"
			test.change(w)
			s := w.look()
			w.Expect(s.Damaged).To(BeNil())
			w.Expect(s.Copied).To(Equal(!test.count))
			w.Expect(s.Spec.Bootstrapped).To(Equal(test.bootstrapped))
			w.Expect(s.Spec.NextSerial).To(Equal(test.next))
		})
	}
}

// A copy founds a cluster of its own, whatever the records say that came with it.
func TestACopyIsANewCluster(t *testing.T) {
	w := newWorld(t)
	w.claims, w.pods = nil, nil
	w.cluster.Annotations[v1alpha1.AnnotationRecordsOf] = "another"
	w.cluster.Annotations[v1alpha1.AnnotationRecovery] = "damaged as well"
	s := w.look()
	w.Expect(s.Damaged).To(BeNil())
	w.Expect(plan.Plan(s.Observation, now).Step).To(Equal(plan.SetTLS{Phase: plan.TLSOnly}), "as of a new one")
	w.cluster.Spec.TLS.Enabled = new(false)
	w.Expect(plan.Plan(w.look().Observation, now).Step).To(Equal(plan.SetACLs{Phase: plan.ACLsDeny}))
	w.cluster.Spec.ACLs.Enabled = new(false)
	w.Expect(plan.Plan(w.look().Observation, now).Step).To(Equal(plan.SetGossip{Phase: plan.GossipRequired}))
	w.cluster.Spec.GossipEncryption.Enabled = new(false)
	w.Expect(plan.Plan(w.look().Observation, now).Step).To(Equal(plan.CreateServer{Serial: 0, BootstrapExpect: 3}))
}

// kubectl replace takes the records away in a moment without a leader: nothing is founded, and the record is written again.
func TestRecordsThatWereTakenAway(t *testing.T) {
	w := newWorld(t)
	w.cluster.Annotations = nil
	w.cluster.Status = statusOf(clusterUID, "consul-0")
	w.agent(0).self.Leads = false
	d := plan.Plan(w.look().Observation, now)
	w.Expect(d.Step).To(BeNil())
	w.Expect(d.Reason).To(Equal(reason.NoLeader))
	w.Expect(d.Upkeep).To(ContainElement(plan.RecordBootstrapped{}))
}

// What failed in one pass is a part of the next Observation.
func TestFailuresAreRemembered(t *testing.T) {
	w := newWorld(t)
	w.Expect(w.look().Failures).To(BeEmpty())
	w.cluster.Status.Failures = []v1alpha1.Failure{{
		Attempt: "CreatePod Server:consul-3", Reason: "QuotaExceeded", Message: `pods "consul-3" is forbidden: exceeded quota`,
		Since: metav1.NewTime(now.Add(-time.Minute)), Last: metav1.NewTime(now),
	}}
	w.Expect(w.look().Failures).To(ConsistOf(plan.Failure{
		Attempt: "CreatePod Server:consul-3",
		Problem: plan.Problem{Reason: reason.QuotaExceeded, Message: `pods "consul-3" is forbidden: exceeded quota`},
		Since:   now.Add(-time.Minute), Last: now,
	}))
	w.cluster.Generation++
	w.Expect(w.look().Failures).To(BeEmpty(), "a spec that has changed may be accepted")
}
