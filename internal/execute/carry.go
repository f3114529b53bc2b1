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

// CarryOut brings what surrounds the servers to what it should be, and carries out a decision. What failed a moment ago is left
// out, and what fails now keeps nothing else from being done: it is part of the failures, of which the status has to remember
// those that are due later. An error means that a part has to be planned again.
func (e *Executor) CarryOut(ctx context.Context, s *observe.Snapshot, d plan.Decision) ([]Done, []plan.Failure, error) {
	var done []Done
	attempts := e.surroundings(s)
	for _, action := range d.Actions() {
		attempts = append(attempts, attempt{plan.AttemptOf(action), func(ctx context.Context) error {
			outcome, err := e.Do(ctx, s, action)
			if err == nil {
				done = append(done, Done{action, outcome})
			}
			return err
		}})
	}
	var failures []plan.Failure
	var stale []error
	for _, attempt := range attempts {
		before := lastFailure(s, attempt.name)
		if before != nil && s.IsWithheld(attempt.name, e.Now()) {
			failures = append(failures, *before)
			continue
		}
		if err := attempt.do(ctx); err == nil {
			continue
		} else if problem := explain(err); problem != nil {
			failures = append(failures, failed(attempt.name, *problem, before, e.Now()))
		} else {
			stale = append(stale, err)
		}
	}
	return done, failures, errors.Join(stale...)
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
