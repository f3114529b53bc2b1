package observe_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// leaderless is a world in which consul-0 and consul-1 are gone with their claims, and consul-2 sees what is left.
func leaderless(t *testing.T) *world {
	w := newWorld(t)
	seen := w.agent(0)
	last := w.agent(2)
	last.self.Peers, last.serf = seen.peers, seen.serf
	last.serf[0].Status = plan.MemberFailed
	last.self.Peers[0].Name, last.self.Peers[1].Name = "", ""
	last.self.LastTerm = 6
	last.silent["peers"] = true // it was started when there was no leader any more
	w.claims, w.pods = w.claims[2:], w.pods[2:]
	return w
}

// A server that Serf has forgotten is recognized by the names that this cluster has used.
func TestHowTheSurvivorSeesTheCluster(t *testing.T) {
	w := leaderless(t)
	w.agent(2).self.Peers = append(w.agent(2).self.Peers, plan.Peer{ID: "a stranger", Voter: true})
	s := w.look()
	w.Expect(s.Servers).To(HaveLen(1))
	agent := s.Servers[0].Agent
	w.Expect([]uint64{agent.LastTerm, agent.LastIndex}).To(Equal([]uint64{6, 100}))
	id := func(name string) string { return resources.NodeID(clusterUID, name) }
	w.Expect(agent.Outlook.Peers).To(Equal([]plan.Peer{
		{ID: id("consul-0"), Name: "consul-0", Voter: true, Ours: true},
		{ID: id("consul-1"), Name: "consul-1", Voter: true, Ours: true},
		{ID: id("consul-2"), Name: "consul-2", Voter: true, Ours: true},
		{ID: "a stranger", Name: "a stranger", Voter: true},
	}))
	w.Expect(agent.Outlook.Members[0]).To(Equal(plan.Member{ID: id("consul-0"), Name: "consul-0", Status: plan.MemberFailed}))
	w.Expect(s.Raft.LostSince).To(Equal(now), "first seen now")
}

// Whatever a server does not report is unknown, and a server that knows of a leader is believed.
func TestNobodyIsAskedForAnOutlookInVain(t *testing.T) {
	w := leaderless(t)
	w.agent(2).silent["members"] = true
	w.Expect(w.look().Servers[0].Agent.Outlook).To(BeNil())
	w = leaderless(t)
	w.agent(2).self.Peers = nil
	w.Expect(w.look().Servers[0].Agent.Outlook).To(BeNil())
	w.agent(2).self.Peers = []plan.Peer{}
	w.Expect(w.look().Servers[0].Agent.Outlook.Peers).To(BeEmpty(), "it has never joined")
	w = leaderless(t)
	w.agent(2).self.LeaderAddr = "10.0.0.9:8300"
	w.Expect(w.look().Servers[0].Agent.Outlook).To(BeNil())

	w = newWorld(t)
	w.Expect(w.look().Servers[2].Agent.Outlook).To(BeNil(), "there is a leader")
}

func TestWhatIsWantedOfARecovery(t *testing.T) {
	w := newWorld(t)
	since := metav1.NewTime(now.Add(-time.Minute))
	w.cluster.Status.QuorumLostSince = &since
	w.cluster.Spec.Recovery = v1alpha1.Recovery{Mode: v1alpha1.RecoveryAutomatic, After: &metav1.Duration{Duration: time.Minute}}
	w.cluster.Annotations[v1alpha1.AnnotationAcceptLoss] = "consul-0, consul-1"
	w.cluster.Annotations[v1alpha1.AnnotationRecovery] = resources.Recovery{
		ID: "now", Survivor: "consul-2", Lost: []string{"consul-0", "consul-1"},
	}.String()
	w.agent(0).self.Leads = false
	s := w.look()
	w.Expect(*s.Spec.RecoverAfter).To(Equal(time.Minute))
	w.Expect(s.Spec.AcceptedLoss).To(Equal([]string{"consul-0", "consul-1"}))
	w.Expect(s.Spec.Recovery).To(Equal(&plan.Recovery{ID: "now", Survivor: "consul-2", Lost: []string{"consul-0", "consul-1"}}))
	w.Expect(s.Raft.LostSince).To(Equal(since.Time))

	w.cluster.Annotations[v1alpha1.AnnotationRecovery] = "what is this?"
	w.Expect(w.look().Spec.Recovery).To(BeNil())
}
