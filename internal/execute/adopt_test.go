package execute_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/execute"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// formerUID is that of the cluster whose volumes are taken over.
const formerUID = "1f0c7f0e-53f6-4a5c-8f0e-0a1b2c3d4e5f"

// adopts is a cluster that takes over the volume of consul-7, which a former one was about to give up.
func adopts(t *testing.T, changes ...func(*corev1.PersistentVolumeClaim)) *world {
	t.Helper()
	w := newWorld(t)
	former := w.seen.Cluster.DeepCopy()
	former.UID = formerUID
	claim := claimOf(former, "consul-7")
	claim.Labels[instance], claim.Labels["mine"] = "consul", "yes"
	claim.OwnerReferences = append(claim.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: "x", UID: "x"})
	claim.Annotations = map[string]string{
		v1alpha1.AnnotationBootstrapExpect: "3", v1alpha1.AnnotationRetiring: "since then", v1alpha1.AnnotationInPlace: "true",
		v1alpha1.AnnotationFailed: "since then", v1alpha1.AnnotationVersion: "1.22.6", v1alpha1.AnnotationIdentity: "the first one",
		v1alpha1.AnnotationRevision: "r", v1alpha1.AnnotationStorageSize: "1Gi", "mine": "yes",
	}
	for _, change := range changes {
		change(claim)
	}
	w.Expect(w.client.Create(t.Context(), claim)).To(Succeed())
	w.seen.Left = map[string]*corev1.PersistentVolumeClaim{"consul-7": w.claim(t, "consul-7")}
	w.seen.Spec.Revision = "wanted"
	return w
}

// It is a server of this cluster from then on, with the data and the id that it had: nothing of what the former cluster was about
// to do with it is left, and garbage collection of that one does not delete it.
func TestAVolumeIsTakenOver(t *testing.T) {
	w := adopts(t)
	w.Expect(w.do(t, plan.AdoptVolume{Server: "consul-7"}).Event).To(Equal("took over the volume of consul-7"))
	claim := w.claim(t, "consul-7")
	w.Expect(observe.Ours(w.seen.Cluster, claim)).To(BeTrue())
	w.Expect(claim.Labels).To(And(HaveKeyWithValue(v1alpha1.LabelCluster, "consul"), HaveKeyWithValue("mine", "yes"),
		HaveKeyWithValue(v1alpha1.LabelServer, "consul-7"), Not(HaveKey(instance))))
	w.Expect(claim.Annotations).To(Equal(map[string]string{
		v1alpha1.AnnotationVersion: "1.22.6", v1alpha1.AnnotationIdentity: "the first one", v1alpha1.AnnotationRevision: "wanted",
		v1alpha1.AnnotationStorageSize: "1Gi", "mine": "yes",
	}))
	w.Expect(metav1.IsControlledBy(claim, w.seen.Cluster)).To(BeTrue())
	w.Expect(claim.OwnerReferences).To(ConsistOf(HaveField("UID", clusterUID), HaveField("Name", "x")),
		"others are nobody's business")
}

func TestAVolumeThatWasTakenOverIsRetained(t *testing.T) {
	w := adopts(t)
	w.seen.Cluster.Spec.Storage.Retention = v1alpha1.RetentionRetain
	w.do(t, plan.AdoptVolume{Server: "consul-7"})
	w.Expect(w.claim(t, "consul-7").OwnerReferences).To(ConsistOf(HaveField("Name", "x")))
}

// An older operator has not written down from where the id of a server follows, and the label that says so goes.
func TestTheIdentityOfAVolumeIsWrittenDown(t *testing.T) {
	w := adopts(t, func(claim *corev1.PersistentVolumeClaim) { claim.Annotations = nil })
	w.do(t, plan.AdoptVolume{Server: "consul-7"})
	w.Expect(w.claim(t, "consul-7").Annotations).To(Equal(map[string]string{
		v1alpha1.AnnotationIdentity: formerUID, v1alpha1.AnnotationRevision: "wanted",
	}))
}

func TestAVolumeIsNotTakenOverOnAnOldPicture(t *testing.T) {
	for what, change := range map[string]func(*testing.T, *world){
		"it is gone":       func(_ *testing.T, w *world) { w.seen.Left = nil },
		"it has changed":   func(t *testing.T, w *world) { w.touch(t, w.seen.Left["consul-7"]) },
		"a server is gone": func(_ *testing.T, w *world) { w.seen.Claims["consul-8"] = w.seen.Claims["consul-1"] },
	} {
		t.Run(what, func(t *testing.T) {
			w := adopts(t)
			change(t, w)
			_, err := w.executor.Do(t.Context(), w.seen, plan.AdoptVolume{Server: "consul-7"})
			w.Expect(err).To(MatchError(execute.ErrStale))
			w.Expect(w.claim(t, "consul-7").Labels).To(HaveKeyWithValue(v1alpha1.LabelClusterUID, formerUID))
		})
	}
}

// From then on it is a cluster that exists, with the ids of the former one.
func TestTheAdoptionOfVolumesIsRecorded(t *testing.T) {
	for phase, written := range map[plan.GossipPhase]string{plan.GossipOff: "Off", plan.GossipRequired: "Required"} {
		t.Run(written, func(t *testing.T) {
			w := newWorld(t)
			at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
			w.executor.Now = func() time.Time { return at }
			w.seen.Spec.Gossip.Phase = phase
			event := w.do(t, plan.BeginAdoption{Of: formerUID, Identity: "the first one"}).Event
			w.Expect(event).To(Equal("takes over the volumes of the former ConsulCluster with the UID " + formerUID))
			records := map[string]string{
				v1alpha1.AnnotationAdopting: formerUID, v1alpha1.AnnotationIdentity: "the first one",
				v1alpha1.AnnotationBootstrapped: "2026-01-01T12:00:00Z", v1alpha1.AnnotationGossip: written,
				v1alpha1.AnnotationRecordsOf: string(clusterUID),
			}
			w.Expect(w.annotations(t)).To(Equal(records))
			w.look(t)
			w.do(t, plan.EndAdoption{})
			delete(records, v1alpha1.AnnotationAdopting)
			w.Expect(w.annotations(t)).To(Equal(records))
		})
	}
}

// The records of the cluster that this one is a copy of would be taken for its own.
func TestRecordsOfACopyThatTakesVolumesOver(t *testing.T) {
	w := newWorld(t)
	w.seen.Cluster.Annotations = map[string]string{
		v1alpha1.AnnotationNextSerial: "9", v1alpha1.AnnotationRestoring: "today u1", v1alpha1.AnnotationFounding: "true",
		v1alpha1.AnnotationTLS: "Required", v1alpha1.AnnotationIdentity: "another", v1alpha1.AnnotationRecordsOf: "another",
		"mine": "yes",
	}
	w.Expect(w.client.Update(t.Context(), w.seen.Cluster)).To(Succeed())
	w.seen.Copied = true
	w.do(t, plan.BeginAdoption{Of: formerUID, Identity: formerUID})
	w.Expect(w.annotations(t)).To(And(HaveLen(6), HaveKeyWithValue(v1alpha1.AnnotationAdopting, formerUID),
		HaveKeyWithValue(v1alpha1.AnnotationIdentity, formerUID), HaveKeyWithValue(v1alpha1.AnnotationRecordsOf, string(clusterUID)),
		HaveKey(v1alpha1.AnnotationBootstrapped), HaveKey(v1alpha1.AnnotationGossip), HaveKeyWithValue("mine", "yes")))
}

// A cluster that takes the volume over has to know what has written it.
func TestTheVersionOnAVolume(t *testing.T) {
	w := newWorld(t)
	w.Expect(w.do(t, plan.RecordVersion{Server: "consul-1", Version: "1.22.7"}).Event).To(BeEmpty(), "nobody wants to know")
	w.Expect(w.claim(t, "consul-1").Annotations).To(And(HaveKeyWithValue(v1alpha1.AnnotationVersion, "1.22.7"),
		HaveKeyWithValue(v1alpha1.AnnotationRevision, "r")))
	w.Expect(w.claim(t, "consul-0").Annotations).NotTo(HaveKey(v1alpha1.AnnotationVersion))
	_, err := w.executor.Do(t.Context(), w.seen, plan.RecordVersion{Server: "consul-1", Version: "1.22.8"})
	w.Expect(err).To(MatchError(execute.ErrStale), "it has changed since")
}
