package status_test

import (
	"flag"
	"os"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/status"
)

var update = flag.Bool("update", false, "update the golden files")

// stray is a cluster with a dead stray, a live stray, and a server that has just joined Serf.
func stray() *observe.Snapshot {
	s := snapshot()
	s.Raft.Peers = append(s.Raft.Peers, plan.Peer{ID: "dead", Name: "consul-9", Voter: true}, plan.Peer{ID: "alive", Name: "other"})
	s.Raft.Members = append(s.Raft.Members, plan.Member{ID: "dead", Name: "consul-9", Status: plan.MemberFailed},
		plan.Member{ID: "alive", Name: "other", Status: plan.MemberAlive})
	s.Raft.Catalog = append(s.Raft.Catalog, plan.Node{ID: "dead", Name: "consul-9"}, plan.Node{ID: "alive", Name: "other"})
	s.Servers = append(s.Servers, plan.Server{
		Name: "consul-3", ID: "consul-3", Revision: "r", Member: plan.MemberAlive, Registration: plan.NotRegistered,
		Pod: &plan.Pod{Revision: "r", Running: true},
	})
	return s
}

func TestListsGolden(t *testing.T) {
	g := NewWithT(t)
	got := status.Build(stray(), done, status.Outcome{}, noon)
	text, err := yaml.Marshal(map[string]any{"servers": got.Servers, "disagreements": got.Disagreements})
	g.Expect(err).NotTo(HaveOccurred())
	const golden = "testdata/stray.yaml"
	if *update {
		g.Expect(os.WriteFile(golden, text, 0o600)).To(Succeed())
	}
	want, err := os.ReadFile(golden)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(text)).To(Equal(string(want)), "run with -update if this is what users should see")
}

func TestWhereAServerIs(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(one *plan.Server)
		raft    v1alpha1.RaftSuffrage
		serf    v1alpha1.SerfState
		catalog v1alpha1.CatalogState
	}{
		"voter":     {func(*plan.Server) {}, "Voter", "Alive", "Registered"},
		"non-voter": {func(one *plan.Server) { one.Peer.Voter = false }, "NonVoter", "Alive", "Registered"},
		"no peer":   {func(one *plan.Server) { one.Peer = nil }, "Absent", "Alive", "Registered"},
		"leaving":   {func(one *plan.Server) { one.Member = plan.MemberLeaving }, "Voter", "Leaving", "Registered"},
		"left":      {func(one *plan.Server) { one.Member = plan.MemberLeft }, "Voter", "Left", "Registered"},
		"failed":    {func(one *plan.Server) { one.Member = plan.MemberFailed }, "Voter", "Failed", "Registered"},
		"no member": {func(one *plan.Server) { one.Member = plan.MemberAbsent }, "Voter", "Absent", "Registered"},
		"not yet":   {func(one *plan.Server) { one.Registration = plan.NotRegistered }, "Voter", "Alive", "Absent"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := snapshot()
			test.change(&s.Servers[1])
			got := status.Build(s, done, status.Outcome{}, noon).Servers[1]
			g.Expect(got.Raft).To(Equal(test.raft))
			g.Expect(got.Serf).To(Equal(test.serf))
			g.Expect(got.Catalog).To(Equal(test.catalog))
		})
	}
}

// Unknown is not absent, and one failed call does not change the status.
func TestListsThatAreNotTold(t *testing.T) {
	g := NewWithT(t)
	s := stray()
	s.Cluster.Status = status.Build(s, done, status.Outcome{}, noon)

	s.Raft = plan.Raft{Unknown: "nobody answers"}
	got := status.Build(s, done, status.Outcome{}, noon)
	g.Expect(got.Disagreements).To(BeEmpty())
	g.Expect(got.Servers[1].Raft).To(BeEmpty())
	g.Expect(got.Servers[1].Serf).To(BeEmpty())
	g.Expect(got.Servers[1].Catalog).To(Equal(v1alpha1.CatalogRegistered))
}
