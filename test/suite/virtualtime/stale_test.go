package virtualtime

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// lags are the ways in which caches are late.
func lags() map[string]lag {
	all := map[string]lag{
		"1 write behind":                 {writes: 1},
		"3 writes behind":                {writes: 3},
		"1 s behind":                     {by: time.Second},
		"brought up to date every 300ms": {every: 300 * time.Millisecond},
		"brought up to date every 3s":    {every: 3 * time.Second},
	}
	for _, kind := range []string{"ConsulCluster", "PersistentVolumeClaim", "Pod", "Secret", "EndpointSlice"} {
		all[kind+" alone 2 writes behind"] = lag{writes: 2, kinds: []string{kind}}
	}
	return all
}

// Caches lag, also behind the operator's own writes. It takes longer then, and comes to the same.
func TestStaleReads(t *testing.T) {
	all := lags()
	for n, story := range scenarios() {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			b, part := baselineOf(t, story), shareOf(3, n)
			t.Log(part)
			for i, name := range slices.Sorted(maps.Keys(all)) {
				if !part.has(i) {
					continue
				}
				o := play(t, story, nil, settings{lag: all[name]})
				count(o)
				// A pod may be created for a claim that is gone already, and deleted again.
				o.tally.PodsCreated, o.tally.PodsDeleted = b.tally.PodsCreated, b.tally.PodsDeleted
				if story.spare {
					o.tally.ServersCreated, o.tally.ServersDeleted = b.tally.ServersCreated, b.tally.ServersDeleted
				}
				expect(t, name, o, b)
			}
		})
	}
}

// A cluster that is deleted and created anew by the same name, while its caches show the former one.
func TestClusterOfTheSameName(t *testing.T) {
	fresh := baselineOf(t, scenario{name: "a cluster of its own", steps: []step{found(3)}})
	for name, late := range lags() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, gap := range []time.Duration{0, 100 * time.Millisecond, 3 * time.Second, 20 * time.Second} {
				o := play(t, replaced(gap), nil, settings{lag: late})
				count(o)
				o.tally = fresh.tally
				expect(t, fmt.Sprintf("created anew after %s", gap), o, fresh)
			}
		})
	}
}

// The same in the middle of each story, whatever is half done there.
func TestClusterOfTheSameNameInTheMiddle(t *testing.T) {
	const moments = 5
	fresh := baselineOf(t, scenario{name: "a cluster of its own", steps: []step{found(3)}})
	late := lags()
	late["not behind"] = lag{}
	for n, story := range scenarios() {
		if story.stuck {
			continue // new servers wait until a person deletes the pod
		}
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			b, part := baselineOf(t, story), shareOf(moments, n)
			t.Log(part)
			for i := range moments {
				if !part.has(i) {
					continue
				}
				from := &b.checkpoints[(2*i+1)*len(b.checkpoints)/(2*moments)]
				for _, name := range []string{"not behind", "brought up to date every 300ms"} {
					for _, gap := range []time.Duration{0, 3 * time.Second} {
						middle := replaced(gap)
						middle.steps[0].when = func(*cluster) bool { return true }
						middle.steps = slices.Concat(story.steps[:from.step], middle.steps)
						o := play(t, middle, from, settings{lag: late[name]})
						count(o)
						o.tally = fresh.tally
						expect(t, fmt.Sprintf("deleted after %d effects, created anew after %s, %s", from.effects, gap, name), o, fresh)
					}
				}
			}
		})
	}
}

// replaced is the story of a cluster that is deleted and, a while later, created anew.
func replaced(gap time.Duration) scenario {
	var deleted time.Time
	again := found(3)
	again.when = func(*cluster) bool { return time.Since(deleted) >= gap }
	return scenario{name: "created anew", replicas: 3, steps: []step{
		{say: "the cluster is deleted", do: func(r *run) {
			deleted = time.Now()
			r.world.api.finish(objectKey{"ConsulCluster", clusterName})
			r.alarm = deleted.Add(gap)
		}},
		again,
	}}
}

// What came and went between two looks of an informer is an event that nobody sees.
func TestEventsThatNobodySees(t *testing.T) {
	g, s, pod := withPod(t)
	g.Expect(s.delete(t.Context(), pod)).To(Succeed())
	s.finish(podKey)
	c := &cache{server: s, seen: map[objectKey]client.Object{}, next: map[string]int{}}
	g.Expect(c.advance(time.Now())).To(BeFalse())
	g.Expect(c.seen).To(BeEmpty())
	g.Expect(c.next).To(HaveKeyWithValue("Pod", len(s.history["Pod"])))
}
