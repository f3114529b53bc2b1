package virtualtime

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// More of them, or others: go test ./test/suite/virtualtime -run Walk -walks 1000 -seed 77
var (
	walks = flag.Int("walks", 40, "how many random walks are taken")
	seed  = flag.Uint64("seed", 1, "of the first walk; the next ones count up")
)

// Users change their minds at any moment, ask for what cannot be, and break things. Whatever they did, the cluster ends
// as if it had been created with its last spec.
func TestWalks(t *testing.T) {
	for i := range uint64(*walks) { //nolint:gosec // not negative
		t.Run(fmt.Sprintf("seed %d", *seed+i), func(t *testing.T) {
			t.Parallel()
			walk(t, *seed+i)
		})
	}
}

func walk(t *testing.T, seed uint64) {
	t.Helper()
	w := &walker{Rand: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // a walk, not a secret
	replicas := pick(w.Rand, int32(1), 3, 5)
	w.last = *newCluster(replicas)
	story := scenario{name: "walk", replicas: replicas}
	for range 3 + w.IntN(6) {
		story.steps = append(story.steps, w.step())
	}
	story.steps = append(story.steps, w.settle())
	walked := play(t, story, nil, settings{})
	count(walked)

	fresh := play(t, scenario{name: "created with the last spec", steps: []step{{say: "created", do: w.create}}}, nil, settings{})
	walked.tally = fresh.tally
	expect(t, fmt.Sprintf("the walk of seed %d", seed), walked, &baseline{outcome: fresh})
}

// walker makes up what users do.
type walker struct {
	*rand.Rand
	// last is what the ConsulCluster will be after all that was made up so far.
	last v1alpha1.ConsulCluster
}

func pick[T any](r *rand.Rand, choices ...T) T { return choices[r.IntN(len(choices))] }

// step happens when all is at rest, or after some passes of the operator.
func (w *walker) step() step {
	var s step
	if w.IntN(4) == 0 {
		s = w.accident()
	} else {
		s = w.change()
	}
	if passes := w.IntN(120); w.IntN(4) > 0 {
		s.when = func(*cluster) bool {
			passes--
			return passes < 0
		}
	}
	return s
}

// change of the spec: valid, at the boundary, or such as only the operator can refuse.
func (w *walker) change() step {
	choices := []func() (string, func(*v1alpha1.ConsulCluster)){
		w.version, w.replicas, w.config, w.template, w.paused, w.request, w.kind,
	}
	say, do := pick(w.Rand, choices...)()
	do(&w.last)
	return change(say, do)
}

func (w *walker) version() (string, func(*v1alpha1.ConsulCluster)) {
	version := pick(w.Rand, older, newer, "1.22.3", "1.21.0") // the last one is a downgrade
	return "version " + version, func(c *v1alpha1.ConsulCluster) { c.Spec.Version = version }
}

func (w *walker) replicas() (string, func(*v1alpha1.ConsulCluster)) {
	replicas, surge := pick(w.Rand, int32(1), 3, 5), 1+w.Int32N(3)
	return fmt.Sprintf("replicas %d, surge %d", replicas, surge), func(c *v1alpha1.ConsulCluster) {
		c.Spec.Replicas, c.Spec.Update.MaxSurge = replicas, surge
	}
}

// kind of the update; it may change in the middle of one.
func (w *walker) kind() (string, func(*v1alpha1.ConsulCluster)) {
	kind := pick(w.Rand, v1alpha1.UpdateInPlace, v1alpha1.UpdateSurge)
	return fmt.Sprintf("updates: %s", kind), func(c *v1alpha1.ConsulCluster) { c.Spec.Update.Type = kind }
}

func (w *walker) config() (string, func(*v1alpha1.ConsulCluster)) {
	config, err := v1alpha1.NewConfig(pick(w.Rand, // the first two differ by what is read while a server runs
		map[string]any{"log_level": "DEBUG"}, map[string]any{"log_level": "INFO"}, map[string]any{"default_query_time": "200s"}))
	must(err)
	return "config", func(c *v1alpha1.ConsulCluster) { c.Spec.Config = config }
}

// template uses a container name that belongs to the operator: the operator refuses it, not the API server.
func (w *walker) template() (string, func(*v1alpha1.ConsulCluster)) {
	if w.IntN(2) == 0 {
		return "a container by the operator's name", func(c *v1alpha1.ConsulCluster) {
			c.Spec.PodTemplate.Containers = []corev1.Container{{Name: resources.ContainerConsul, Image: "busybox"}}
		}
	}
	team := pick(w.Rand, "blue", "red")
	return "pod label " + team, func(c *v1alpha1.ConsulCluster) {
		c.Spec.PodTemplate.Containers = nil
		c.Spec.PodTemplate.Metadata.Labels = map[string]string{"team": team}
	}
}

func (w *walker) paused() (string, func(*v1alpha1.ConsulCluster)) {
	paused := w.IntN(2) == 0
	return fmt.Sprintf("paused %t", paused), func(c *v1alpha1.ConsulCluster) { c.Spec.Paused = paused }
}

func (w *walker) request() (string, func(*v1alpha1.ConsulCluster)) {
	if w.IntN(2) == 0 {
		at := fmt.Sprint(w.IntN(1000))
		return "restart", func(c *v1alpha1.ConsulCluster) {
			put(c, v1alpha1.AnnotationRestartedAt, at)
		}
	}
	to := pick(w.Rand, "", clusterName+"-0", clusterName+"-3", "nobody")
	return fmt.Sprintf("transfer to %q", to), func(c *v1alpha1.ConsulCluster) { put(c, v1alpha1.AnnotationTransferLeadership, to) }
}

func put(c *v1alpha1.ConsulCluster, key, value string) {
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[key] = value
}

// settle is the fix of all that is wrong, when everything has calmed down.
func (w *walker) settle() step {
	do := func(c *v1alpha1.ConsulCluster) {
		c.Spec.Paused, c.Spec.PodTemplate.Containers = false, nil
		put(c, v1alpha1.AnnotationAllowDowngrade, c.Spec.Version)
	}
	do(&w.last)
	delete(w.last.Annotations, v1alpha1.AnnotationTransferLeadership)
	return change("all mistakes are corrected", do)
}

func (w *walker) create(r *run) {
	cluster := w.last.DeepCopy()
	must(r.world.api.create(context.Background(), cluster))
	r.world.wrote(nil, cluster)
}

// accident is what happens to a server or an object, and not to the spec. It never takes a quorum: that is for a recovery.
func (w *walker) accident() step {
	server, what := w.IntN(8), w.IntN(4)
	say := []string{"a process is killed", "a pod is evicted", "a server is lost with its volume", "the Services are deleted"}[what]
	return step{say: say, do: func(r *run) {
		if what == 3 {
			deleteServices(r)
			return
		}
		c := r.world.current()
		i := server % max(1, int(c.State.N))
		if !c.spare(i) {
			return
		}
		r.world.change(c, time.Now(), func(s *sim.State) {
			switch what {
			case 0:
				script := sim.Script{State: *s}
				script.Do(sim.Kill, i)
				*s = script.State
			case 1:
				s.DeletePod(i)
			case 2:
				s.Lose(i)
			}
		})
	}}
}

// spare says whether a quorum stays without a server.
func (c *cluster) spare(i int) bool {
	voters, up := 0, 0
	for j, x := range c.State.Servers[:c.State.N] {
		if x.Peer != sim.Voter {
			continue
		}
		voters++
		if j != i && x.Process == sim.Up && x.Pod == sim.PodRunning && x.Claim == sim.ClaimBound && !x.Behind {
			up++
		}
	}
	return c.State.Works() && up > voters/2 && c.State.Servers[i].Pod == sim.PodRunning
}

func deleteServices(r *run) {
	for _, o := range r.world.api.objects() {
		if service, ok := o.(*corev1.Service); ok {
			must(r.world.api.delete(context.Background(), service))
		}
	}
}
