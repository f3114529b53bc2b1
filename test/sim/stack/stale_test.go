package stack

import (
	"fmt"
	"testing"
	"time"
)

// lags are the ways in which caches are late.
func lags() map[string]lag {
	all := map[string]lag{}
	for n := 1; n <= 3; n++ {
		all[fmt.Sprintf("%d writes behind", n)] = lag{writes: n}
	}
	for _, kind := range []string{"ConsulCluster", "PersistentVolumeClaim", "Pod", "Secret", "EndpointSlice"} {
		all[kind+" alone a write behind"] = lag{writes: 1, kinds: []string{kind}}
		all[kind+" alone 1 s behind"] = lag{by: time.Second, kinds: []string{kind}}
	}
	for _, by := range []time.Duration{300 * time.Millisecond, time.Second, 3 * time.Second} {
		all[fmt.Sprintf("%s behind", by)] = lag{by: by}
		all[fmt.Sprintf("brought up to date every %s", by)] = lag{every: by}
	}
	return all
}

// Caches lag, also behind the operator's own writes. It takes longer then, and comes to the same.
func TestStaleReads(t *testing.T) {
	for _, story := range scenarios() {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			b := baselineOf(t, story)
			for name, late := range lags() {
				o := play(t, story, nil, settings{lag: late})
				count(o)
				// A pod may be created for a claim that is gone already, and deleted again.
				o.tally.PodsCreated, o.tally.PodsDeleted = b.tally.PodsCreated, b.tally.PodsDeleted
				expect(t, name, o, b, true)
			}
		})
	}
}

// An operator that starts anew may see what was before what the one before it has seen.
func TestBackInTimeAfterARestart(t *testing.T) {
	for _, story := range scenarios() {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			b := baselineOf(t, story)
			for k, effect := range b.effects {
				k++
				o := b.compare(t, b.before(k), settings{
					downtime: time.Second, lag: lag{restart: 2},
					interfere: once(func(_ call, n int) bool { return n == k }, verdict{kill: true}),
				})
				count(o)
				expect(t, fmt.Sprintf("killed after effect %d, %s", k, effect), o, b, true)
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
				expect(t, fmt.Sprintf("created anew after %s", gap), o, fresh, true)
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
