package plan

import (
	"fmt"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
)

// How soon to requeue.
const (
	// soon is for what takes milliseconds: an endpoint that disappears, a server that leaves.
	soon = 100 * time.Millisecond
	// often is for what takes seconds: a process that starts, a promotion.
	often = 500 * time.Millisecond
	// steadily is for what may take long.
	steadily = time.Second
	// waitLatest is for what has not come for a quarter of an hour.
	waitLatest = 15 * time.Second
	// forPeople is for what no rule needs and users want to see.
	forPeople = 10 * time.Second
)

// Decision is what to do now, and why.
type Decision struct {
	// Rule is the name of the rule that decided; empty if nothing is left to do.
	Rule string
	// Upkeep restores what should be. None of it changes the membership.
	Upkeep []Action
	// Step is the one action that changes the membership or leads to it; nil to wait, or when all is done.
	Step Action
	// Reason and Message say why this step is taken, or what is waited for.
	Reason  reason.Reason
	Message string
	// Done reports whether nothing is left to do.
	Done bool
	// RequeueAfter is when to observe again if nothing wakes the operator earlier; 0 for never.
	RequeueAfter time.Duration
}

// IsWait reports whether a decision waits for something.
func (d Decision) IsWait() bool { return d.Step == nil && !d.Done }

// IsIdle reports whether there is nothing to do.
func (d Decision) IsIdle() bool { return d.Done && len(d.Upkeep) == 0 }

// Problem is something that a person has to put right.
type Problem struct {
	Reason  reason.Reason
	Message string
}

// step takes an action and requeues at once: what follows depends on what it did.
func step(action Action, why reason.Reason, format string, args ...any) *Decision {
	return &Decision{Step: action, Reason: why, Message: fmt.Sprintf(format, args...), RequeueAfter: soon}
}

// wait changes nothing and says what for.
func wait(requeueAfter time.Duration, why reason.Reason, format string, args ...any) *Decision {
	return &Decision{Reason: why, Message: fmt.Sprintf(format, args...), RequeueAfter: requeueAfter}
}
