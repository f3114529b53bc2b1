package status_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/status"
)

// Anybody who may write to the catalog may register any number of nodes in it. A status that grows with them is refused, and
// with it what the operator remembers.
func TestAStatusIsBounded(t *testing.T) {
	long := strings.Repeat("ü", 50_000)
	many := 20_000
	for name, change := range map[string]func(s *observe.Snapshot, d *plan.Decision, o *status.Outcome){
		"strange nodes in the catalog": func(s *observe.Snapshot, _ *plan.Decision, _ *status.Outcome) {
			for i := range many {
				s.Raft.Catalog = append(s.Raft.Catalog, plan.Node{ID: fmt.Sprintf("id-%d", i), Name: fmt.Sprintf("stranger-%d", i)})
			}
		},
		"long names in the catalog": func(s *observe.Snapshot, _ *plan.Decision, _ *status.Outcome) {
			s.Raft.Catalog = append(s.Raft.Catalog, plan.Node{ID: long, Name: long})
		},
		"a long message": func(_ *observe.Snapshot, d *plan.Decision, _ *status.Outcome) { d.Message = long },
		"a long reason of no leader": func(s *observe.Snapshot, _ *plan.Decision, _ *status.Outcome) {
			s.Raft = plan.Raft{Unknown: long}
		},
		"a long refusal": func(_ *observe.Snapshot, _ *plan.Decision, o *status.Outcome) {
			o.Failures = []plan.Failure{{Attempt: "x", Problem: plan.Problem{Message: long}}}
		},
		"a container that says much": func(s *observe.Snapshot, _ *plan.Decision, _ *status.Outcome) {
			s.Servers[1].Pod.Problem = plan.Problem{Reason: reason.ServerCannotStart, Message: long}
		},
		"a version that is none": func(s *observe.Snapshot, _ *plan.Decision, _ *status.Outcome) { s.Servers[1].Agent.Version = long },
		"servers without end": func(s *observe.Snapshot, _ *plan.Decision, _ *status.Outcome) {
			for i := range many / 10 {
				name := fmt.Sprintf("consul-%d", 100+i)
				s.Servers = append(s.Servers, plan.Server{Name: name, ID: name, Registration: plan.Registered})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s, d, o := snapshot(), plan.Decision{Reason: reason.UnhealthyServer, Message: "fine"}, status.Outcome{}
			change(s, &d, &o)
			got := status.Build(s, d, o, noon)
			text, err := json.Marshal(got)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(len(text)).To(BeNumerically("<", 64<<10))
			s.Cluster.Status = got
			g.Expect(status.Build(s, d, o, noon)).To(Equal(got), "I5: an unchanged status is not written")
		})
	}
}

// What matters comes first, and the rest is counted.
func TestManyDisagreements(t *testing.T) {
	g := NewWithT(t)
	s := stray()
	for i := range 30 {
		s.Raft.Catalog = append(s.Raft.Catalog, plan.Node{ID: fmt.Sprintf("id-%d", i), Name: fmt.Sprintf("a-%d", i)})
	}
	got := status.Build(s, done, status.Outcome{}, noon).Disagreements
	g.Expect(got).To(HaveLen(21))
	g.Expect([]string{got[0].Name, got[1].Name, got[2].Name}).To(Equal([]string{"consul-3", "consul-9", "other"}))
	g.Expect(got[20].Name).To(Equal("and 13 more"))
}
