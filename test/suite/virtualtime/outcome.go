package virtualtime

import (
	"fmt"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// tally is what a story cost: servers and pods that came and went, and changes of the leader.
type tally struct {
	ServersCreated, ServersDeleted, PodsCreated, PodsDeleted, Leaders int
}

func (t *tally) count(key objectKey, old, now client.Object) {
	created, deleted := 0, 0
	switch {
	case old == nil && now != nil:
		created = 1
	case old != nil && now == nil:
		deleted = 1
	}
	switch key.kind {
	case "PersistentVolumeClaim":
		t.ServersCreated, t.ServersDeleted = t.ServersCreated+created, t.ServersDeleted+deleted
	case "Pod":
		t.PodsCreated, t.PodsDeleted = t.PodsCreated+created, t.PodsDeleted+deleted
	}
}

// outcome is what came of a run.
type outcome struct {
	// end is the state at the end, without what may differ: names, and who of several equals leads.
	end   string
	tally tally

	effects    []call
	passes     int
	violations []string
	// rejoined is set if the run ended where it came to a situation of the run without trouble.
	rejoined bool
	trace    *trace
}

// end is the state at the end, in words.
func (r *run) end() string {
	var b strings.Builder
	c := r.world.current()
	servers := make([]string, 0, c.State.N)
	for _, x := range c.State.Servers[:c.State.N] {
		if x.Claim != sim.ClaimNone || x.Pod != sim.PodNone || x.Peer != sim.NoPeer || x.Serf == sim.Failed {
			servers = append(servers, "server "+strings.Replace(x.String(), c.State.Wanted.String(), "as wanted", 1))
		}
	}
	slices.Sort(servers)
	fmt.Fprintf(&b, "%s\nleader: %t, min_quorum %d, bootstrapped %t, transfer %d, %s, %s\n", strings.Join(servers, "\n"),
		c.State.Leader != sim.Nobody, c.State.MinQuorum, c.State.Bootstrapped, c.State.Transfer, phases(&c.State), r.certificates(c))
	kinds := map[string]int{}
	for _, o := range r.world.api.objects() {
		if keyOf(o) != (objectKey{"Secret", mine}) { // which outlives the cluster that names it
			kinds[kindOf(o)]++
		}
		if cluster, ok := o.(*v1alpha1.ConsulCluster); ok {
			fmt.Fprintf(&b, "%s ready, Consul %s, %s\n", cluster.Status.Ready, cluster.Status.Version, readiness(cluster))
			fmt.Fprintf(&b, "%s NetworkPolicy:%s\n", lists(cluster), cluster.Status.NetworkPolicy)
		}
	}
	fmt.Fprint(&b, kinds)
	return b.String()
}

const phasesAsWanted = "gossip encryption, TLS and ACLs as wanted"

func phases(s *sim.State) string {
	if phase, target := s.Wanted.Gossip(), plan.GossipPhase(s.Gossip); phase != target {
		return fmt.Sprintf("gossip encryption %s instead of %s", phase, target)
	}
	if plan.KeyStage(s.Keys) != plan.KeySettled || s.Rotate {
		return "the rotation of the gossip key goes on"
	}
	if phase, target := s.Wanted.TLS(), plan.TLSPhase(s.TLS); phase != target {
		return fmt.Sprintf("TLS %s instead of %s", phase, target)
	}
	if phase, target := s.Wanted.ACLs(), plan.ACLPhase(s.ACLs); phase != target {
		return fmt.Sprintf("ACLs %s instead of %s", phase, target)
	}
	if s.Wanted.ACLs() != plan.ACLsOff && (!s.TokensKnown || !s.TokensMade) {
		return "ACL tokens missing"
	}
	return phasesAsWanted
}

// lists says where the servers are by the status, and what disagrees, without names.
func lists(c *v1alpha1.ConsulCluster) string {
	servers := make([]string, 0, len(c.Status.Servers))
	for _, x := range c.Status.Servers {
		servers = append(servers, fmt.Sprint(x.Raft, x.Serf, x.Catalog))
	}
	slices.Sort(servers)
	problems := make([]string, 0, len(c.Status.Disagreements))
	for _, x := range c.Status.Disagreements {
		problems = append(problems, x.Problem)
	}
	slices.Sort(problems)
	return fmt.Sprint(servers, problems)
}

// readiness is the Ready condition, in words.
func readiness(c *v1alpha1.ConsulCluster) string {
	ready := apimeta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "no status"
	}
	return fmt.Sprintf("Ready=%s (%s: %s)", ready.Status, ready.Reason, ready.Message)
}

// situation is what a run's future depends on, but for the time that is left until things happen, which package sim
// leaves open, and for what the cache has not seen yet: SIM_WHOLE_STORIES tells stories to their end.
func (r *run) situation() string {
	var b strings.Builder
	fmt.Fprint(&b, r.step, r.world.api.tally, r.world.revisions)
	for _, c := range r.world.clusters {
		fmt.Fprint(&b, "\n", c.State, r.certificates(c))
		for i := range c.Servers[:c.State.N] {
			fmt.Fprint(&b, " ", c.Servers[i].Name, c.Servers[i].Version)
		}
		for _, next := range c.Pending {
			fmt.Fprint(&b, " ", next.Name(), next.Slot())
		}
	}
	for _, o := range r.world.api.objects() {
		fmt.Fprint(&b, "\n", keyOf(o), len(o.GetOwnerReferences()), o.GetDeletionTimestamp() != nil)
		if c, ok := o.(*v1alpha1.ConsulCluster); ok {
			fmt.Fprint(&b, c.Annotations[v1alpha1.AnnotationNextSerial], c.Status.Leader, c.Status.NetworkPolicy,
				len(c.Status.Failures), readiness(c))
		}
	}
	return b.String()
}
