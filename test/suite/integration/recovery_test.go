package integration

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// loseMost stops the load, so that all servers have all that was acknowledged, and takes so many servers away with
// their volumes that the others cannot elect a leader: the leader is one of them.
func (s *story) loseMost() []string {
	s.t.Helper()
	s.Observer.SetFaults(true)
	s.Observer.AllowLeaderChanges(-1)
	s.Eventually(func() int { return s.Load.Result().All.Acknowledged }, time.Minute, 100*time.Millisecond).
		Should(BeNumerically(">", 0))
	s.Load.Stop()
	lost, err := s.LoseQuorum(s.t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	return lost
}

// saved is what a survivor has kept of its data from before the recovery.
func (s *story) saved(server string) []string {
	s.t.Helper()
	logs, err := filepath.Glob(filepath.Join(s.disk(server), "recovery", "*", "raft", "wal", "*"))
	s.Expect(err).NotTo(HaveOccurred())
	return logs
}

// recovered asserts that the cluster is as it should be after a recovery, with nothing lost that its survivors had (I8).
func (s *story) recovered(survivors, lost []string) {
	s.t.Helper()
	s.verify()
	c := s.cluster()
	s.Expect(c.Status.Voters).To(Equal(c.Spec.Replicas))
	s.Expect(c.Annotations).NotTo(HaveKey(v1alpha1.AnnotationRecovery))
	s.Expect(c.Annotations).NotTo(HaveKey(v1alpha1.AnnotationAcceptLoss))
	s.Expect(c.Status.QuorumLostSince).To(BeNil())
	for _, server := range survivors {
		s.Expect(s.servers()).To(ContainElement(server), "it carries on with what it has")
		s.Expect(s.saved(server)).NotTo(BeEmpty(), server+" has saved its data first")
		s.Expect(filepath.Join(s.disk(server), "raft", "peers.json")).NotTo(BeAnExistingFile(), "Consul has taken it up")
	}
	for _, server := range lost {
		s.Expect(s.servers()).NotTo(ContainElement(server))
	}
}

// Two of three servers are lost with their volumes: nobody has to do anything, and nothing that the survivor has is lost.
func TestQuorumLostForGoodIsRecoveredAutomatically(t *testing.T) {
	t.Parallel()
	begin(t, shared, "automatic", recoversSoon).losesMostAndRecovers()
}

func recoversSoon(spec *v1alpha1.ConsulClusterSpec) {
	soonVoters(spec)
	spec.Recovery = v1alpha1.Recovery{Mode: v1alpha1.RecoveryAutomatic, After: &metav1.Duration{Duration: 5 * time.Second}}
}

func (s *story) losesMostAndRecovers() {
	s.t.Helper()
	before := s.servers()
	start := time.Now()
	lost := s.loseMost()
	s.until("the quorum is lost", func(c *v1alpha1.ConsulCluster) bool { return c.Status.QuorumLostSince != nil })
	s.reach("recovered", 3*time.Minute+5*time.Second)
	s.t.Logf("two of three servers lost for good, three healthy voters after %s", time.Since(start).Round(time.Second))
	s.recovered(without(before, lost), lost)
}

// Three of five, and the two survivors were restarted since: a person gives the three up by the command that the cluster's
// condition names. One of the survivors has the newest data, and the other one joins it.
func TestQuorumLostForGoodIsRecoveredByAPerson(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "by-hand", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Replicas = 5
	})
	before := s.servers()
	lost := s.loseMost()
	for _, server := range without(before, lost) {
		s.kill(server) // started anew, it has not heard of any leader, and tells what it knows all the same
	}
	command := ""
	s.until("the operator says what to do", func(c *v1alpha1.ConsulCluster) bool {
		stalled := apimeta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionStalled)
		command = regexp.MustCompile(`kubectl annotate .*$`).FindString(stalled.Message)
		return stalled.Status == metav1.ConditionTrue && command != ""
	})
	// Before the last of them was gone, a leader may have had the time to prune the first, and to add a server.
	claims := s.count(&corev1.PersistentVolumeClaimList{})
	s.Consistently(func() int { return s.count(&corev1.PersistentVolumeClaimList{}) }, 3*time.Second, 500*time.Millisecond).
		Should(Equal(claims), "nobody is created, and nobody goes, until a person says so")
	start := time.Now()
	for _, server := range without(before, lost) {
		s.Expect(command).NotTo(ContainSubstring(server), "only those who are gone are given up")
	}
	out, err := s.Kubectl(t.Context(), strings.Fields(command)[1:]...)
	s.Expect(err).NotTo(HaveOccurred(), out)
	s.reach("recovered", 3*time.Minute)
	t.Logf("three of five servers given up, five healthy voters after %s", time.Since(start).Round(time.Second))
	s.recovered(without(before, lost), lost)
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(one string) bool { return slices.Contains(some, one) })
}
