package virtualtime

import (
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/test/lib/timed"
)

// wholeStories has each run with trouble told to its end, also where it has come to a situation that is known from the
// run without. It takes several minutes.
var wholeStories = os.Getenv("SIM_WHOLE_STORIES") != ""

// checkpoint is a run right before a pass: all of it, since the operator remembers nothing.
type checkpoint struct {
	at, garbage time.Time
	step        int
	effects     int
	objects     []client.Object
	tally       tally
	uids, ips   int
	revisions   timed.Revisions
	clusters    []cluster
}

func (r *run) checkpoint() checkpoint {
	w := r.world
	p := checkpoint{
		at: time.Now(), garbage: r.garbage, step: r.step, effects: len(r.effects), objects: w.api.objects(),
		tally: w.api.tally, uids: w.api.uids, ips: w.ips, revisions: slices.Clone(w.revisions),
	}
	for _, c := range w.clusters {
		p.clusters = append(p.clusters, c.clone())
	}
	return p
}

func (c *cluster) clone() cluster {
	clone := *c
	clone.Cluster, clone.shown = c.Clone(), maps.Clone(c.shown)
	return clone
}

// restore goes on where another run was.
func (r *run) restore(p checkpoint) {
	time.Sleep(time.Until(p.at))
	w := r.world
	w.trace.start = p.at
	w.api = newAPIServer(p.objects)
	w.api.tally, w.api.uids, w.ips, w.revisions = p.tally, p.uids, p.ips, slices.Clone(p.revisions)
	for i := range p.clusters {
		c := p.clusters[i].clone()
		w.clusters = append(w.clusters, &c)
	}
	r.step, r.garbage, r.before = p.step, p.garbage, p.effects
}

// play tells a story in a bubble of virtual time, from a checkpoint or, if that is nil, from its start.
func play(t *testing.T, story scenario, from *checkpoint, s settings) outcome {
	t.Helper()
	if from == nil && story.replicas > 0 {
		from = seedOf(t, start{story.replicas, story.encrypted})
	}
	var result outcome
	synctest.Test(t, func(*testing.T) {
		r := newRun(story, s)
		if from != nil {
			r.restore(*from)
		}
		r.tell()
		result = r.outcome()
	})
	return result
}

// baseline is a story without trouble, and what is needed to compare others with it.
type baseline struct {
	outcome
	story       scenario
	checkpoints []checkpoint
	situations  map[string]bool
	// calls are all that were made, but for those of passes that saw nothing new: a pass in a situation that was there
	// before does the same again.
	calls []placedCall
}

var baselines once[string, *baseline]

// baselineOf tells a story without trouble, once.
func baselineOf(t *testing.T, story scenario) *baseline {
	t.Helper()
	return baselines.get(story.name, func() *baseline { return newBaseline(t, story) })
}

func newBaseline(t *testing.T, story scenario) *baseline {
	t.Helper()
	b := &baseline{story: story, situations: map[string]bool{}}
	known, made := false, map[call]int{}
	b.outcome = play(t, story, nil, settings{
		beforePass: func(r *run) bool {
			b.checkpoints = append(b.checkpoints, r.checkpoint())
			known = b.situations[r.situation()]
			b.situations[r.situation()] = true
			clear(made)
			return true
		},
		interfere: func(c call, _ int) verdict {
			if made[c]++; !known {
				b.calls = append(b.calls, placedCall{c, len(b.checkpoints) - 1, made[c]})
			}
			return verdict{}
		},
	})
	count(b.outcome)
	if len(b.violations) > 0 {
		t.Fatalf("without any trouble: %v\n%s", b.violations, b.trace)
	}
	if !strings.Contains(b.end, string(reason.Healthy)) || !strings.Contains(b.end, phasesAsWanted) ||
		!strings.Contains(b.end, certificatesAsWanted) {
		t.Fatalf("without any trouble the cluster is not as wanted: %s\n%s", b.end, b.trace)
	}
	return b
}

// placedCall is the n-th call of its kind in the pass that follows a checkpoint.
type placedCall struct {
	call
	checkpoint, n int
}

// before is the last checkpoint before an effect.
func (b *baseline) before(effect int) *checkpoint {
	i := slices.IndexFunc(b.checkpoints, func(p checkpoint) bool { return p.effects >= effect })
	if i < 0 {
		i = len(b.checkpoints)
	}
	return &b.checkpoints[i-1]
}

// compare tells the story from a checkpoint with trouble, until it has come to a situation of the baseline again.
func (b *baseline) compare(t *testing.T, from *checkpoint, s settings) outcome {
	t.Helper()
	troubled, passes := false, 0
	interfere := s.interfere
	s.interfere = func(c call, effect int) verdict {
		v := interfere(c, effect)
		troubled = troubled || v != verdict{}
		return v
	}
	s.beforePass = func(r *run) bool {
		if troubled && r.failures == 0 && r.operator != nil {
			passes++ // one pass has to succeed before it can be over
		}
		r.rejoined = !wholeStories && passes > 1 && len(r.violations) == 0 && b.situations[r.situation()]
		return !r.rejoined
	}
	o := play(t, b.story, from, s)
	if o.rejoined {
		o.end, o.tally = b.end, b.tally
	}
	return o
}

// start is a cluster of so many servers at rest, from which stories start.
type start struct {
	replicas  int32
	encrypted bool
}

var seeds once[start, *checkpoint]

// seedOf founds the cluster once.
func seedOf(t *testing.T, s start) *checkpoint {
	t.Helper()
	return seeds.get(s, func() *checkpoint { return newSeed(t, s) })
}

func newSeed(t *testing.T, s start) *checkpoint {
	t.Helper()
	var made checkpoint
	synctest.Test(t, func(t *testing.T) {
		founding := found(s.replicas)
		if s.encrypted {
			founding = foundEncrypted(s.replicas)
		}
		r := newRun(scenario{steps: []step{founding}}, settings{})
		r.tell()
		if len(r.violations) > 0 {
			t.Fatalf("no cluster to start from: %v\n%s", r.violations, r.world.trace)
		}
		made = r.checkpoint()
	})
	made.step, made.effects, made.tally = 0, 0, tally{}
	return &made
}

// once makes a value for each key when it is first asked for.
type once[K comparable, V any] struct {
	mu     sync.Mutex
	values map[K]V
}

func (o *once[K, V]) get(key K, produce func() V) V {
	o.mu.Lock()
	defer o.mu.Unlock()
	if value, made := o.values[key]; made {
		return value
	}
	if o.values == nil {
		o.values = map[K]V{}
	}
	o.values[key] = produce()
	return o.values[key]
}

// What was run.
var runs, effectsDone, passesDone, runsCutShort atomic.Int64

func count(o outcome) {
	runs.Add(1)
	effectsDone.Add(int64(len(o.effects)))
	passesDone.Add(int64(o.passes))
	if o.rejoined {
		runsCutShort.Add(1)
	}
}
