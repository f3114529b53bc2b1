package sim

import (
	"fmt"
	"hash/maphash"
	"strings"
	"unsafe"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

// Scenario is where an exploration starts and what may happen in it besides progress.
type Scenario struct {
	Name  string
	Start State
	// Faults and Changes of the spec, as many as the budget of Start says.
	Faults, Changes []*kind
	// Limit is how many states are worth visiting.
	Limit int
}

// Result of an exploration.
type Result struct {
	Scenario    string
	States      int
	Transitions int
	// Complete is false if the limit of states was reached before all were seen.
	Complete bool
	// Violation is nil if all invariants hold. Trace leads to it.
	Violation *Violation
	Trace     []string
}

// fingerprint stands for a state. Of 128 bits, two states among a billion share one with a probability of 1e-21.
type fingerprint [2]uint64

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func (s *State) fingerprint() fingerprint {
	raw := unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s)) //nolint:gosec // all its fields are single bytes
	return fingerprint{maphash.Bytes(seeds[0], raw), maphash.Bytes(seeds[1], raw)}
}

// move is a transition: something happens, then the operator acts on what it had seen before.
type move struct {
	event event // kind is nil if nothing happens
	// actions is how many of the planned actions are done: fewer than planned if the operator is killed.
	actions int
	// behind is set if the operator then acts once more, with a cache that does not show yet what happened.
	behind bool
	// failing is set if the last action is a transfer of leadership after which nobody leads.
	failing bool
}

// node is how a state was first reached.
type node struct {
	from int32
	move move
}

type explorer struct {
	scenario  Scenario
	known     map[fingerprint]struct{}
	nodes     []node
	level     []State // those of the current distance from the start, from the index first on
	next      []State
	schedules []*schedule
	result    Result
	events    []event
}

// Explore visits the states of a scenario, at most limit of them (0 for the scenario's own limit), and stops at the
// first violation.
func Explore(scenario Scenario, limit int) Result {
	if limit == 0 {
		limit = scenario.Limit
	}
	x := &explorer{
		scenario: scenario,
		known:    map[fingerprint]struct{}{}, schedules: schedules(),
		result: Result{Scenario: scenario.Name, Complete: true},
	}
	x.reach(scenario.Start, node{from: -1})
	for first := 0; len(x.next) > 0 && x.result.Violation == nil; {
		x.level, x.next = x.next, x.level[:0:0]
		for i := range x.level {
			if len(x.nodes) >= limit {
				x.result.Complete = false
				x.next = nil
				break
			}
			if x.expand(&x.level[i], int32(first+i)); x.result.Violation != nil { //nolint:gosec // fewer than 2³¹
				break
			}
		}
		first += len(x.level)
	}
	x.result.States = len(x.nodes)
	return x.result
}

// reach takes note of a state that was not seen before, and checks that all will be well from there.
func (x *explorer) reach(s State, how node) {
	s.canonical()
	x.result.Transitions++
	key := s.fingerprint()
	if _, ok := x.known[key]; ok {
		return
	}
	x.known[key] = struct{}{}
	x.nodes = append(x.nodes, how)
	x.next = append(x.next, s)
	if violation, story := x.settles(s); violation != nil {
		x.fail(violation, int32(len(x.nodes)-1), story) //nolint:gosec // fewer than 2³¹
	}
}

func (x *explorer) fail(violation *Violation, at int32, then []string) {
	if x.result.Violation == nil {
		x.result.Violation = violation
		x.result.Trace = append(x.trace(at), then...)
	}
}

// expand goes from a state to all those that follow it.
func (x *explorer) expand(s *State, at int32) {
	decision := plan.Plan(observe(s, s), now)
	actions := actionsOf(decision)
	if violation := checkAll(decision, actions, s); violation != nil {
		x.fail(violation, at, []string{tell(decision, actions)})
		return
	}
	for k := 1; k <= len(actions); k++ {
		after := apply(actions[:k], s, *s)
		x.reach(after, node{at, move{actions: k}})
		x.lookBehind(s, after, node{at, move{actions: k, behind: true}})
	}
	if n := len(actions); n > 0 && isTransfer(actions[n-1]) {
		x.reach(failTransfer(apply(actions, s, *s)), node{at, move{actions: n, failing: true}})
	}
	x.events = enabled(s, progress, x.events[:0])
	x.events = enabled(s, x.scenario.Faults, x.events)
	x.events = enabled(s, x.scenario.Changes, x.events)
	for _, e := range x.events {
		next, violation := e.happen(s)
		if violation != nil {
			x.fail(violation, at, []string{e.String()})
			return
		}
		x.reach(next, node{at, move{event: e}})
		if len(actions) > 0 {
			x.reach(apply(actions, s, next), node{at, move{event: e, actions: len(actions)}})
		}
		x.lookBehind(s, next, node{at, move{event: e, behind: true}})
	}
}

// lookBehind is a pass of an operator whose cache is behind: it sees Kubernetes as it was, Consul as it is, and acts on
// what is. What its preconditions do not refuse must keep the invariants.
func (x *explorer) lookBehind(was *State, is State, how node) {
	if was.kubernetes() == is.kubernetes() {
		return // there is nothing that the cache could not know
	}
	decision := plan.Plan(observe(was, &is), now)
	actions := actionsOf(decision)
	if len(actions) == 0 {
		return
	}
	next := is
	for _, action := range actions {
		before := next
		before.Replicas, before.Wanted = was.Replicas, was.Wanted // right by what it knew
		before.Paused, before.InPlace = was.Paused, was.InPlace
		if !act(action, was, &next) {
			continue
		}
		if violation := check(action, &before); violation != nil && violation.counts(how.move) {
			_, line := how.move.again(*was)
			x.fail(violation, how.from, []string{line})
			return
		}
	}
	x.reach(next, how)
}

// counts says whether a violation by an operator whose cache is behind is one. What happened a moment ago and is not
// seen yet is the same as what happens a moment later: only what can never be put right counts then. What it does not
// see of its own doing always counts, except for a gate, which the next look sets back.
func (v *Violation) counts(m move) bool {
	if m.event.kind == nil {
		return v.Invariant != invariant.I9
	}
	return v.Invariant == invariant.I4 || v.Invariant == invariant.I8
}

func actionsOf(d plan.Decision) []plan.Action {
	if d.Step == nil {
		return d.Upkeep
	}
	return append(d.Upkeep[:len(d.Upkeep):len(d.Upkeep)], d.Step)
}

// apply does actions, planned in one state, to another.
func apply(actions []plan.Action, seen *State, s State) State {
	for _, action := range actions {
		act(action, seen, &s)
	}
	return s
}

func isTransfer(action plan.Action) bool {
	_, ok := action.(plan.TransferLeadership)
	return ok
}

// failTransfer is a transfer that ends without a leader; it is a fault, so it is not counted any more how often
// leadership moves.
func failTransfer(s State) State {
	stepDown(&s, 0)
	s.Handoffs = unlimited
	return s
}

// checkAll checks a decision and its actions, each in the state that the ones before it leave.
func checkAll(d plan.Decision, actions []plan.Action, s *State) *Violation {
	if len(actions) == 0 && !d.Done && d.RequeueAfter == 0 && d.Reason != reason.Paused {
		return violated(invariant.I7, "the operator waits (%s: %s) and never observes again", d.Reason, d.Message)
	}
	if stray := s.count(func(x *Server) bool { return x.Claim == ClaimNone && x.Peer != NoPeer }); d.Done && stray > 0 {
		return violated(invariant.I7, "the operator calls a cluster healthy that has %d peers of nobody", stray)
	}
	current := *s
	for _, action := range actions {
		if violation := check(action, &current); violation != nil {
			return violation
		}
		act(action, s, &current)
	}
	return nil
}

func tell(d plan.Decision, actions []plan.Action) string {
	words := make([]string, 0, len(actions))
	for _, action := range actions {
		words = append(words, strings.TrimPrefix(fmt.Sprintf("%T%+v", action, action), "plan."))
	}
	return fmt.Sprintf("the operator decides %s: %s → %s", d.Reason, d.Message, strings.Join(words, ", "))
}

// trace is the way to a state, for people: it is walked again from the start.
func (x *explorer) trace(at int32) []string {
	var moves []move
	for ; at > 0; at = x.nodes[at].from {
		moves = append(moves, x.nodes[at].move)
	}
	s := x.scenario.Start
	s.canonical()
	lines := []string{s.String()}
	for i := len(moves) - 1; i >= 0; i-- {
		var line string
		s, line = moves[i].again(s)
		s.canonical()
		lines = append(lines, line, "  "+s.String())
	}
	return lines
}

// again makes a move once more and tells of it.
func (m move) again(s State) (State, string) {
	var lines []string
	seen := s
	if m.event.kind != nil {
		s, _ = m.event.happen(&seen)
		lines = append(lines, m.event.String())
	}
	if m.actions > 0 {
		decision := plan.Plan(observe(&seen, &seen), now)
		all := actionsOf(decision)
		line := tell(decision, all)
		if m.actions < len(all) {
			line += fmt.Sprintf("; it is killed after %d of %d actions", m.actions, len(all))
		}
		lines = append(lines, line)
		s = apply(all[:m.actions], &seen, s)
	}
	if m.failing {
		s = failTransfer(s)
		lines = append(lines, "nobody leads afterwards")
	}
	if m.behind {
		decision := plan.Plan(observe(&seen, &s), now)
		lines = append(lines, "the operator's cache is behind: "+tell(decision, actionsOf(decision)))
		s = apply(actionsOf(decision), &seen, s)
	}
	return s, strings.Join(lines, ", meanwhile ")
}

// Story is the way to the violation, one line for each thing that happened.
func (r *Result) Story() string { return "  " + strings.Join(r.Trace, "\n  ") + "\n" }
