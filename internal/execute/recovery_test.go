package execute_test

import (
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func (w *world) annotations(t *testing.T) map[string]string {
	t.Helper()
	var live v1alpha1.ConsulCluster
	w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(w.seen.Cluster), &live)).To(Succeed())
	return live.Annotations
}

func TestARecoveryIsWrittenDownAndTakenBack(t *testing.T) {
	w := newWorld(t)
	begin := plan.BeginRecovery{Survivor: "consul-1", Lost: []string{"consul-0", "consul-7"}}
	outcome, err := w.executor.Do(t.Context(), w.seen, begin)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(outcome.Event).To(ContainSubstring("consul-1 carries on as the only voter"))
	w.look(t)
	record, err := resources.RecoveryOf(w.seen.Cluster)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(record.Survivor).To(Equal("consul-1"))
	w.Expect(record.Lost).To(Equal([]string{"consul-0", "consul-7"}))

	_, err = w.executor.Do(t.Context(), w.seen, plan.FinishRecovery{Because: "all is well"})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.annotations(t)).NotTo(HaveKey(v1alpha1.AnnotationRecovery))
}

// Records are bound to the cluster that writes them, and those of the cluster that it was copied from go.
func TestRecordsAreBoundToTheCluster(t *testing.T) {
	w := newWorld(t)
	w.seen.Cluster.Annotations = map[string]string{
		v1alpha1.AnnotationBootstrapped: "then", v1alpha1.AnnotationNextSerial: "9", v1alpha1.AnnotationRecovery: "{}",
		v1alpha1.AnnotationRecordsOf: "another", v1alpha1.AnnotationRestartedAt: "then",
		v1alpha1.AnnotationGossip: "Required",
	}
	w.Expect(w.client.Update(t.Context(), w.seen.Cluster.DeepCopy())).To(Succeed())
	w.look(t)
	w.seen.Copied = true
	_, err := w.executor.Do(t.Context(), w.seen, plan.RecordBootstrapped{})
	w.Expect(err).NotTo(HaveOccurred())
	bootstrapped := w.annotations(t)[v1alpha1.AnnotationBootstrapped]
	w.Expect(bootstrapped).NotTo(Equal("then"))
	w.look(t)
	_, err = w.executor.Do(t.Context(), w.seen, plan.CreateServer{Serial: 2})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.annotations(t)).To(Equal(map[string]string{
		v1alpha1.AnnotationBootstrapped: bootstrapped, v1alpha1.AnnotationNextSerial: "3",
		v1alpha1.AnnotationRecordsOf: string(clusterUID), v1alpha1.AnnotationRestartedAt: "then",
	}))
}

// I8: a claim that lost its labels looks as if it were gone, and its server may come back.
func TestNoRecoveryWhileAClaimIsThereAfterAll(t *testing.T) {
	w := newWorld(t)
	hidden := claimOf(w.seen.Cluster, "consul-7")
	hidden.Labels = nil
	w.Expect(w.client.Create(t.Context(), hidden)).To(Succeed())
	_, err := w.executor.Do(t.Context(), w.seen, plan.BeginRecovery{Survivor: "consul-1", Lost: []string{"consul-7"}})
	w.Expect(err).To(MatchError(ContainSubstring("claim consul-7 of a server that is lost for good is there")))
	w.Expect(w.annotations(t)).NotTo(HaveKey(v1alpha1.AnnotationRecovery))

	hidden.Labels = map[string]string{v1alpha1.LabelRetired: v1alpha1.RetiredFailed}
	w.Expect(w.client.Update(t.Context(), hidden)).To(Succeed())
	_, err = w.executor.Do(t.Context(), w.seen, plan.BeginRecovery{Survivor: "consul-1", Lost: []string{"consul-7"}})
	w.Expect(err).NotTo(HaveOccurred(), "it was set aside")
}
