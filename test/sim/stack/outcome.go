package stack

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/sim"
)

// outcome is what came of a run.
type outcome struct {
	// End is the state at the end, without what may differ: names, and who of several equals leads.
	End string
	// Cost is what it took: servers and pods that came and went, and changes of the leader.
	Cost string

	effects    []call
	passes     int
	violations []string
	trace      string
}

// play tells a story in a bubble of virtual time.
func play(t *testing.T, story scenario, s settings) outcome {
	t.Helper()
	var from *seed
	if story.replicas > 0 {
		from = seedOf(t, story.replicas)
	}
	var result outcome
	synctest.Test(t, func(*testing.T) {
		r := newRun(story, from, s)
		r.tell()
		result = outcome{
			End: r.end(), Cost: r.cost(), effects: r.effects, passes: r.passes, violations: r.violations,
			trace: r.world.trace.String(),
		}
	})
	return result
}

// end is the state at the end, in words.
func (r *run) end() string {
	var b strings.Builder
	for _, c := range r.world.clusters {
		servers := make([]string, 0, c.state.N)
		for _, x := range c.state.Servers[:c.state.N] {
			if x.Claim != sim.ClaimNone || x.Pod != sim.PodNone || x.Peer != sim.NoPeer || x.Serf == sim.Failed {
				servers = append(servers, "server "+x.String())
			}
		}
		slices.Sort(servers)
		fmt.Fprintf(&b, "%s\nleader: %t, min_quorum %d, bootstrapped %t, transfer %d\n", strings.Join(servers, "\n"),
			c.state.Leader != sim.Nobody, c.state.MinQuorum, c.state.Bootstrapped, c.state.Transfer)
	}
	kinds := map[string]int{}
	for _, o := range r.world.api.objects() {
		kinds[kindOf(o)]++
		if cluster, ok := o.(*v1alpha1.ConsulCluster); ok {
			ready := apimeta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionReady)
			fmt.Fprintf(&b, "%s ready, %s: %+v\n", cluster.Status.Ready, cluster.Status.Version, ready != nil && ready.Status == "True")
		}
	}
	fmt.Fprint(&b, kinds)
	return b.String()
}

// cost counts what came and went.
func (r *run) cost() string {
	created, deleted := map[string]int{}, map[string]int{}
	for _, kind := range []string{"PersistentVolumeClaim", "Pod"} {
		alive := map[string]bool{}
		for _, v := range r.world.api.history[kind] {
			switch {
			case v.at.IsZero():
				alive[v.key.name] = true
			case v.object == nil:
				deleted[kind]++
				alive[v.key.name] = false
			case !alive[v.key.name]:
				created[kind]++
				alive[v.key.name] = true
			}
		}
	}
	leaders := 0
	for _, c := range r.world.clusters {
		leaders += c.elections
	}
	return fmt.Sprintf("created %v, deleted %v, changes of the leader: %d", created, deleted, leaders)
}

// seed is a cluster at rest, from which stories start.
type seed struct {
	at        time.Time
	objects   []client.Object
	revisions []string
	ips       int
	cluster   cluster
}

var (
	seedsLock sync.Mutex
	seeds     = map[int32]*seed{}
)

// seedOf founds a cluster of so many servers, once.
func seedOf(t *testing.T, replicas int32) *seed {
	t.Helper()
	seedsLock.Lock()
	defer seedsLock.Unlock()
	if seeds[replicas] != nil {
		return seeds[replicas]
	}
	made := &seed{}
	synctest.Test(t, func(t *testing.T) {
		r := newRun(scenario{name: "seed", steps: []step{found(replicas)}}, nil, settings{})
		r.tell()
		if len(r.violations) > 0 {
			t.Fatalf("no cluster to start from: %v\n%s", r.violations, r.world.trace)
		}
		w := r.world
		made.at, made.objects, made.revisions, made.ips = time.Now(), w.api.objects(), w.revisions, w.ips
		made.cluster = *w.current()
		made.cluster.elections, made.cluster.pending, made.cluster.shown = 0, nil, nil
	})
	seeds[replicas] = made
	return made
}
