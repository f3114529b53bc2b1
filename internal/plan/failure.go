package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// retryBriefly is the shortest pause before an attempt that nobody refused is made again, and retryRefused before one that
	// somebody refused. Pauses grow with the time for which an attempt has failed, up to retryLatest.
	retryBriefly = time.Second
	retryRefused = 10 * time.Second
	retryLatest  = time.Minute
	// lasting is how long an attempt has to fail before users hear of it, where nobody refused it: most of that ends by itself.
	lasting = 10 * time.Second
)

// Failure is an attempt that did not succeed, as the status remembers it.
type Failure struct {
	// Attempt is an action (see AttemptOf), or an object that surrounds the servers.
	Attempt string
	Problem
	// Since is when it failed first, and Last when it failed last.
	Since, Last time.Time
}

// AttemptOf returns the name of an action with its arguments, at most 200 bytes of them.
func AttemptOf(a Action) string {
	return strings.TrimSpace(fmt.Sprintf("%s %.200s", NameOf(a), strings.Trim(fmt.Sprintf("%+v", a), "{}")))
}

// failsAt reports whether an action failed in the last pass.
func (o Observation) failsAt(a Action) bool {
	return slices.ContainsFunc(o.Failures, func(f Failure) bool { return f.Attempt == AttemptOf(a) })
}

// IsWithheld reports whether an attempt failed so lately that it is not made again yet.
func (o Observation) IsWithheld(attempt string, now time.Time) bool {
	return slices.ContainsFunc(o.Failures, func(f Failure) bool { return f.Attempt == attempt && now.Before(f.retryAt()) })
}

func (f Failure) retryAt() time.Time {
	shortest := retryBriefly
	if f.Reason.Stalls() {
		shortest = retryRefused
	}
	return f.Last.Add(min(max(f.Last.Sub(f.Since)/2, shortest), retryLatest))
}

// tellFailures makes users hear of what could not be done, and has the cluster observed when it is tried again. A failure takes
// the place of the message if the decision waits for it, or if all else is done; otherwise it is added.
func (v view) tellFailures(d *Decision) {
	for _, f := range v.Failures {
		pause := min(max(f.retryAt().Sub(v.now), soon), forPeople)
		if d.Step != nil && AttemptOf(d.Step) == f.Attempt || d.RequeueAfter == 0 {
			d.RequeueAfter = pause
		}
		d.RequeueAfter = min(d.RequeueAfter, pause)
	}
	told := filter(v.Failures, func(f Failure) bool { return f.Reason.Stalls() || v.now.Sub(f.Since) >= lasting })
	if len(told) == 0 || d.Reason.Stalls() { // a person has to see what stalls first
		return
	}
	failure := told[0]
	if i := slices.IndexFunc(told, d.waitsFor); i >= 0 {
		failure = told[i]
	}
	if d.Done || d.waitsFor(failure) {
		d.Done, d.Reason, d.Message = false, failure.Reason, failure.Message
		return
	}
	d.Message += "; besides, " + failure.Message
}

// waitsFor reports whether a decision comes to nothing before an attempt succeeds: its step, or a pod or a token without which it
// waits.
func (d Decision) waitsFor(f Failure) bool {
	if d.Step != nil {
		return AttemptOf(d.Step) == f.Attempt
	}
	return slices.ContainsFunc(d.Upkeep, func(a Action) bool { return isWaitedFor(a) && AttemptOf(a) == f.Attempt })
}

func isWaitedFor(a Action) bool {
	_, creates := a.(CreatePod)
	_, deletes := a.(DeletePod)
	_, makes := a.(MakeTokens)
	return creates || deletes || makes
}
