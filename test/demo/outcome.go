package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/consul-operator/consul-operator/test/harness"
	"github.com/consul-operator/consul-operator/test/load"
	"github.com/consul-operator/consul-operator/test/observer"
)

// outcome is all that one upgrade left behind.
type outcome struct {
	options
	// Began is when the version was patched, Took until the cluster was Ready again.
	Began    time.Time
	Took     time.Duration
	Load     load.Result
	Verified load.Verification
	LockLost error // nil if an application held its lock all the time
	Timeline observer.Timeline
}

// verdict is an error if the upgrade was not what it promises to be.
func (o outcome) verdict() error {
	var wrong []error
	if n := len(o.Verified.Lost); n > 0 {
		wrong = append(wrong, fmt.Errorf("%d acknowledged writes were lost", n))
	}
	if o.LockLost != nil {
		wrong = append(wrong, o.LockLost)
	}
	if n, _ := o.Timeline.Handovers(); n > 1 {
		wrong = append(wrong, fmt.Errorf("leadership changed %d times, once was planned", n))
	}
	return errors.Join(wrong...)
}

// text is the report for the terminal.
func (o outcome) text() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-34s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "Consul %s → %s, %s, maxSurge %d, under %s writes/s\n\n",
		o.from, o.to, harness.Count(o.replicas, "server"), o.surge, harness.Number(int(o.Load.Rate())))
	line("Lost acknowledged writes", "%d  (%s keys read back)", len(o.Verified.Lost), harness.Number(o.Verified.Keys))
	for _, kind := range load.Kinds {
		line("Failed writes, "+string(kind), "%s", failed(o.Load.Kinds[kind]))
		for _, class := range o.Load.Kinds[kind].ByCount() {
			line("", "%s × %s", harness.Number(class.Count), class.Class)
		}
	}
	line("Longest time without a write", "%s", harness.Millis(o.Load.All.Gap.Length()))
	line("Lock of an application", "%s", o.lock())
	line("Leader changes", "%d  (%s)", o.Timeline.LeaderChanges, o.succession())
	line("Fewest voters seen", "%d", o.Timeline.FewestVoters)
	line("Duration of the upgrade", "%s", harness.Seconds(o.Took))
	if o.Timeline.Stalls.Count > 0 {
		line("The machine stood still", "%s", o.Timeline.Stalls)
	}
	if len(o.Timeline.Violations) == 0 {
		line("Invariants violated", "none")
	}
	for _, violation := range o.Timeline.Violations {
		line("Invariant violated", "%s", violation)
	}
	for _, lost := range o.Verified.Lost {
		line("Lost", "%s", lost)
	}
	return b.String()
}

func (o outcome) lock() string {
	if o.LockLost != nil {
		return o.LockLost.Error()
	}
	return "held all the time"
}

func (o outcome) succession() string {
	names := make([]string, 0, len(o.Timeline.Leaderships))
	for _, leadership := range o.Timeline.Leaderships {
		names = append(names, leadership.Server)
	}
	return strings.Join(names, " → ")
}

// failed is "3 of 28,400, 1 in 9,467".
func failed(t load.Totals) string {
	text := fmt.Sprintf("%s of %s", harness.Number(t.Failed), harness.Number(t.Attempts()))
	if t.Failed > 0 {
		text += ", " + oneIn(t)
	}
	return text
}

func oneIn(t load.Totals) string {
	if t.Failed == 0 {
		return "none"
	}
	return "1 in " + harness.Number(t.Attempts()/t.Failed)
}
