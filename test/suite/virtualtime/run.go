package virtualtime

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

const (
	// quiet is for how long nothing happens in a world that is at rest.
	quiet = 4 * time.Second
	// longest is more than any story takes.
	longest = 30 * time.Minute
	// mostPasses is more than any story needs.
	mostPasses = 5000
	// looksAgain is how often an operator with nothing to do looks at the Secrets of users.
	looksAgain = 5 * time.Minute
)

// The pauses after a pass that failed, as the controller makes them.
const (
	backOffFirst = 100 * time.Millisecond
	backOffLast  = 30 * time.Second
)

// verdict is what is to go wrong with a call.
type verdict struct {
	// skip it: it is not applied.
	skip bool
	// err is the answer instead of the true one, after late.
	err  error
	late time.Duration
	// kill the operator at this moment.
	kill bool
}

// interference decides on a call. effect is the number of effects so far, this one included.
type interference func(c call, effect int) verdict

func nothing(call, int) verdict { return verdict{} }

// settings of a run.
type settings struct {
	interfere interference
	lag       lag
	// downtime of an operator that was killed.
	downtime time.Duration
	// beforePass is called before each pass; false ends the run there.
	beforePass func(*run) bool
}

// run is one story, told once.
type run struct {
	settings
	cluster types.NamespacedName
	world   *world
	story   scenario
	// step is the next of the story's steps.
	step int

	operator *operator
	former   *cache // of the operator before
	failures int
	due      time.Time // of the next pass, or of the start of the operator
	idle     bool      // the next pass is only to look whether a user has changed a Secret
	woken    bool
	wakes    chan struct{}

	passes int
	// before is the number of effects before this run, which started from a checkpoint.
	before     int
	effects    []call
	violations []string
	rejoined   bool
	// garbage is when the garbage collector looks.
	garbage time.Time
	// alarm wakes a step that waits for a time.
	alarm time.Time
}

func newRun(story scenario, s settings) *run {
	if s.interfere == nil {
		s.interfere = nothing
	}
	if s.beforePass == nil {
		s.beforePass = func(*run) bool { return true }
	}
	return &run{
		settings: s, story: story, cluster: types.NamespacedName{Namespace: namespace, Name: clusterName},
		world: newWorld(newTrace()), wakes: make(chan struct{}, 1), garbage: never, alarm: never,
	}
}

func (r *run) outcome() outcome {
	return outcome{
		end: r.end(), tally: r.world.api.tally, effects: r.effects, passes: r.passes, violations: r.violations,
		rejoined: r.rejoined, trace: r.world.trace,
	}
}

func (r *run) violate(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.world.trace.add("!!!   %s", text)
	r.violations = append(r.violations, text)
}

// wake is called by the operator's watcher.
func (r *run) wake() {
	select {
	case r.wakes <- struct{}{}:
	default:
	}
}

// catchUp lets the cache see what is due.
func (r *run) catchUp(c *cache) {
	if c.advance(time.Now()) {
		r.woken = true
	}
}

// tell the story to its end, and make sure that it is one.
func (r *run) tell() {
	r.due = time.Now()
	for end := time.Now().Add(longest); r.goOn(); {
		if r.passes > mostPasses || time.Now().After(end) {
			r.violate("%s: still at it after %d passes, %s", invariant.I7, r.passes, time.Since(r.world.trace.start))
			break
		}
	}
	if !r.rejoined {
		r.rest()
	}
	if r.operator != nil {
		r.operator.watcher.Close()
		r.operator.cancel()
	}
	r.violations = append(r.violations, r.world.broken...)
}

// goOn does what is to be done now and waits for what is next; false at the end of the story.
func (r *run) goOn() bool {
	r.live()
	if !r.pass() {
		return false
	}
	if r.sleep() {
		return true
	}
	if r.step == len(r.story.steps) {
		return false
	}
	r.do(r.story.steps[r.step])
	return true
}

// live lets the world go on, and users do what they do in the middle.
func (r *run) live() {
	r.world.mu.Lock()
	r.world.advance(time.Now())
	r.collectGarbage()
	if !r.alarm.After(time.Now()) {
		r.alarm = never
	}
	if r.operator != nil {
		r.catchUp(r.operator.cache)
	}
	r.world.mu.Unlock()
	if r.step < len(r.story.steps) {
		if next := r.story.steps[r.step]; next.when != nil && next.when(r.world.current()) {
			r.do(next)
		}
	}
}

// collectGarbage a second after there is some.
func (r *run) collectGarbage() {
	switch now := time.Now(); {
	case r.garbage.Equal(never) && len(r.world.api.garbage()) > 0:
		r.garbage = now.Add(time.Second)
	case !r.garbage.After(now):
		r.world.collect()
		r.garbage = never
	}
}

func (r *run) do(s step) {
	r.step++
	r.idle = false
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	r.world.trace.add("USER  %s", s.say)
	s.do(r)
}

// pass reconciles if it is time to, and starts an operator if there is none. It returns false if the run is to end.
func (r *run) pass() bool {
	if r.due.After(time.Now()) && (r.operator == nil || !r.woken) {
		return true
	}
	if r.operator == nil {
		r.start()
	}
	if !r.beforePass(r) {
		return false
	}
	r.woken, r.due, r.idle = false, never, false
	r.passes++
	result, err := r.operator.reconcile()
	switch {
	case r.operator.dead:
		r.restart()
	case err != nil:
		r.due = time.Now().Add(min(backOffFirst<<min(r.failures, 20), backOffLast))
		r.failures++
		r.world.trace.add("      the pass fails: %s", err)
	default:
		r.failures = 0
		if result.RequeueAfter > 0 {
			r.due, r.idle = time.Now().Add(result.RequeueAfter), result.RequeueAfter >= looksAgain
		}
	}
	return true
}

func (r *run) start() {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	r.world.trace.add("      an operator starts")
	r.operator = newOperator(r, r.former)
}

// restart lets another operator take the place of one that was killed, after a while.
func (r *run) restart() {
	r.operator.watcher.Close()
	r.former, r.operator, r.failures = r.operator.cache, nil, 0
	r.due = time.Now().Add(r.downtime)
}

// sleep until something happens; false if nothing does any more.
func (r *run) sleep() bool {
	if r.woken && r.operator != nil {
		return true
	}
	r.world.mu.Lock()
	next := earliest(r.garbage, r.alarm, r.world.dueNext())
	if !r.idle {
		next = earliest(next, r.due)
	}
	if r.operator != nil {
		next = earliest(next, r.operator.cache.dueNext())
	}
	r.world.mu.Unlock()
	after := quiet // a watch may still wake the operator
	if !next.Equal(never) {
		after = time.Until(next)
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-timer.C:
		return !next.Equal(never)
	case <-r.wakes:
		r.woken = true
		return true
	}
}

func earliest(times ...time.Time) time.Time { return slices.MinFunc(times, time.Time.Compare) }

// rest looks once more: with nothing to do nothing is done (I5).
func (r *run) rest() {
	if len(r.violations) > 0 || r.operator == nil {
		return
	}
	before := len(r.effects)
	if _, err := r.operator.reconcile(); err != nil {
		r.violate("%s: a pass at rest fails: %s", invariant.I7, err)
	}
	if len(r.effects) != before {
		r.violate("%s: at rest the operator does %v", invariant.I5, r.effects[before:])
	}
}
