package execute

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// attempt is one thing to do. Its name says which one, from pass to pass.
type attempt struct {
	name string
	do   func(context.Context) error
}

// Done is an action that was carried out.
type Done struct {
	Action plan.Action
	Outcome
}

// pass carries out one decision.
type pass struct {
	*Executor
	snapshot *observe.Snapshot
	done     []Done
	stale    []error
	// undone are the attempts that did not succeed. Those without a reason only have to be planned again.
	undone []plan.Failure
}

// CarryOut brings what surrounds the servers to what it should be, and carries out a decision. What failed a moment ago is left
// out, and what fails now keeps nothing else from being done: it is part of the failures, of which the status has to remember
// those that are due later. Some of it holds all steps. An error means that a part has to be planned again.
func (e *Executor) CarryOut(ctx context.Context, s *observe.Snapshot, d plan.Decision) ([]Done, []plan.Failure, error) {
	p := &pass{Executor: e, snapshot: s}
	for _, attempt := range e.surroundings(s) {
		p.try(ctx, attempt)
	}
	for _, action := range d.Upkeep {
		p.act(ctx, action)
	}
	if d.Step != nil && !slices.ContainsFunc(p.undone, s.HoldsSteps) {
		p.act(ctx, d.Step)
	}
	failures := slices.DeleteFunc(p.undone, func(f plan.Failure) bool { return f.Reason == "" })
	return p.done, failures, errors.Join(p.stale...)
}

func (p *pass) act(ctx context.Context, action plan.Action) {
	p.try(ctx, attempt{plan.AttemptOf(action), func(ctx context.Context) error {
		outcome, err := p.Do(ctx, p.snapshot, action)
		if err == nil {
			p.done = append(p.done, Done{action, outcome})
		}
		return err
	}})
}

func (p *pass) try(ctx context.Context, attempt attempt) {
	before := lastFailure(p.snapshot, attempt.name)
	if before != nil && p.snapshot.IsWithheld(attempt.name, p.Now()) {
		p.undone = append(p.undone, *before)
		return
	}
	err := attempt.do(ctx)
	if err == nil {
		return
	}
	problem := explain(err)
	if problem == nil {
		p.stale, p.undone = append(p.stale, err), append(p.undone, plan.Failure{Attempt: attempt.name})
		return
	}
	p.undone = append(p.undone, failed(attempt.name, *problem, before, p.Now()))
}

func lastFailure(s *observe.Snapshot, attempt string) *plan.Failure {
	i := slices.IndexFunc(s.Failures, func(f plan.Failure) bool { return f.Attempt == attempt })
	if i < 0 {
		return nil
	}
	return &s.Failures[i]
}

// failed is a failure, which has lasted since it had this reason first.
func failed(attempt string, problem plan.Problem, before *plan.Failure, now time.Time) plan.Failure {
	now = observe.RoundUp(now).Time
	since := now
	if before != nil && before.Reason == problem.Reason {
		since = before.Since
	}
	return plan.Failure{Attempt: attempt, Problem: problem, Since: since, Last: now}
}
