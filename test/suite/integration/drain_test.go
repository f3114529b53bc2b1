package integration

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// apart keeps servers on different nodes, whatever that costs.
func apart(name string) *corev1.Affinity {
	return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey:   corev1.LabelHostname,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelCluster: name}},
		}},
	}}
}

// drain is kubectl's own, and ends when the node is empty.
func (s *story) drain(node string) chan error {
	s.t.Helper()
	done := make(chan error, 1)
	go func() {
		out, err := s.Kubectl(s.t.Context(), "drain", node, "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=3m")
		s.t.Logf("kubectl drain %s: %s", node, out)
		done <- err
	}()
	return done
}

func (s *story) uncordon(node string) {
	s.t.Helper()
	_, err := s.Kubectl(s.t.Context(), "uncordon", node)
	s.Expect(err).NotTo(HaveOccurred())
}

func (s *story) nodeOf(server string) string { return s.pod(server).Spec.NodeName }

// Servers move off nodes that are drained, the leader too, and the voters stay as many as they were. Where no other node
// takes a server, one at a time is evicted and comes back with its node.
func TestDrain(t *testing.T) {
	t.Parallel()
	env, err := harness.Start(t.Context(), harness.Options{Name: "drain", Progress: say, Nodes: 4})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = env.Stop() })
	s := begin(t, env, "drained", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.PodTemplate.Affinity = apart("drained")
	})

	s.Observer.AllowLeaderChanges(1) // of the leader whose node is drained
	for _, server := range []string{s.follower(), s.cluster().Status.Leader} {
		node := s.nodeOf(server)
		s.Expect(<-s.drain(node)).To(Succeed())
		s.reach("moved", 2*time.Minute)
		s.Expect(s.servers()).NotTo(ContainElement(server), "another server took its place")
		s.uncordon(node)
	}

	taken := map[string]bool{}
	for _, server := range s.servers() {
		taken[s.nodeOf(server)] = true
	}
	s.Expect(taken).To(HaveLen(3), "each server has a node of its own")
	_, err = env.Kubectl(t.Context(), "cordon", s.freeNode(taken))
	s.Expect(err).NotTo(HaveOccurred())
	s.end(1)

	before, leader := s.servers(), s.cluster().Status.Leader
	node := s.nodeOf(leader)
	done := s.drain(node)
	s.until("it says that no node takes another server", func(c *v1alpha1.ConsulCluster) bool {
		return condition(c, v1alpha1.ConditionReconciling, "Unschedulable")
	})
	s.Expect(<-done).To(Succeed(), "one server is evicted all the same")
	s.Expect(s.cluster().Status.Leader).NotTo(Equal(leader), "leadership was handed over before")
	// Two wait for this node then, and the new one for longer.
	s.until("it waits for its node", func(c *v1alpha1.ConsulCluster) bool {
		return strings.Contains(harness.Saying(c), "Unschedulable: "+leader)
	})
	s.uncordon(node)
	s.reach("back", 2*time.Minute)
	s.Expect(s.servers()).To(Equal(before), "it came back on its volume")
}

// freeNode is the node that has no server.
func (s *story) freeNode(taken map[string]bool) string {
	s.t.Helper()
	var nodes corev1.NodeList
	s.Expect(s.Client.List(s.t.Context(), &nodes)).To(Succeed())
	for _, node := range nodes.Items {
		if !taken[node.Name] {
			return node.Name
		}
	}
	s.t.Fatal("there is no free node")
	return ""
}
