package backup

import (
	"fmt"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/snapshot"
)

// often is how soon to look at a Job again that goes on: what its pod waits for is no event of the Job.
const often = 2 * time.Second

// Job is what is known of the Job of a task.
type Job struct {
	Name   string
	Exists bool
	// Taken is whose the Job of that name is, if it is not the task's; empty otherwise.
	Taken string
	// Refused is why the API server does not let the operator create the Job, or what it needs; empty if it does.
	Refused string
	// Store is where its objects are, and Objects their names there.
	Store   string
	Objects []string
	// StartedAt is when it was created.
	StartedAt time.Time
	// Finished reports whether it has ended, and Succeeded how. FinishedAt is when.
	Finished, Succeeded bool
	FinishedAt          time.Time
	// Failure is why Kubernetes says that it failed.
	Failure string
	// NeverRan reports whether its pod is there and none of its containers has started.
	NeverRan bool
	// Waiting is what its pod waits for; empty if it runs, or is only starting.
	Waiting string
	// Trouble is why its last pod failed, which another one has taken the place of; nil if none did.
	Trouble *snapshot.Outcome
	// Outcomes are what its containers left behind, by name.
	Outcomes map[string]snapshot.Outcome
}

// failure is the first thing that went wrong in a Job that failed. The containers are in the order in which they run.
func (j Job) failure(containers ...string) (reason.Reason, string) {
	for _, name := range containers {
		if outcome, left := j.Outcomes[name]; left && outcome.Reason != "" {
			return outcome.Reason, outcome.Message
		}
	}
	if j.Waiting != "" {
		return reason.SnapshotFails, fmt.Sprintf("%s (%s)", j.Failure, j.Waiting)
	}
	return reason.SnapshotFails, j.Failure
}

// goesOn says what a Job does that has not ended: what its pod waits for, why the last one failed, or what it is there for.
func (j Job) goesOn(why reason.Reason, does string) Decision {
	switch {
	case j.Waiting != "":
		return work(reason.JobCannotStart, "the Job's pod waits: %s", j.Waiting)
	case j.Trouble != nil:
		return work(orUnknown(j.Trouble.Reason), "the Job tries again: %s", j.Trouble.Message)
	}
	return work(why, "%s", does)
}

// State is how far something is.
type State string

const (
	// Waiting is for something that is not the operator's to do. If a person has to do it, by the reason, it has stalled.
	Waiting State = "Waiting"
	// Working goes on by itself.
	Working State = "Working"
	// Succeeded is how it ends well.
	Succeeded State = "Succeeded"
	// Failed is how it ends otherwise.
	Failed State = "Failed"
)

// Decision is what to do for a ConsulSnapshot or a ConsulRestore, and what to say.
type Decision struct {
	State   State
	Reason  reason.Reason
	Message string
	// Create is the container of the Job to create; empty for none.
	Create string
	// RequeueAfter is when to look again if nothing happens; 0 for never.
	RequeueAfter time.Duration
}

func wait(why reason.Reason, format string, args ...any) Decision {
	return Decision{State: Waiting, Reason: why, Message: fmt.Sprintf(format, args...)}
}

func work(why reason.Reason, format string, args ...any) Decision {
	return Decision{State: Working, Reason: why, Message: fmt.Sprintf(format, args...), RequeueAfter: often}
}

func fail(why reason.Reason, message string) Decision {
	return Decision{State: Failed, Reason: why, Message: message}
}
