package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

// outcome is all that one upgrade left behind.
type outcome struct {
	options
	harness.Outcome
	// Began is when the version was patched, Took until the cluster was Ready again.
	Began time.Time
	Took  time.Duration
}

// verdict is an error if the upgrade was not what it promises to be.
func (o outcome) verdict() error {
	var wrong []error
	if n := len(o.Verified.Lost); n > 0 {
		wrong = append(wrong, fmt.Errorf("%d acknowledged writes were lost", n))
	}
	if broken := o.LockBroken(); broken != nil {
		wrong = append(wrong, broken)
	}
	if n, _ := o.Timeline.Handovers(); n > 1 {
		wrong = append(wrong, fmt.Errorf("leadership changed %d times, once was planned", n))
	}
	return errors.Join(wrong...)
}

// text is the report for the terminal.
func (o outcome) text() string {
	r := report.New(34, fmt.Sprintf("Consul %s → %s, %s, maxSurge %d, under %s writes/s",
		o.from, o.to, report.Count(o.replicas, "server"), o.surge, report.Number(int(o.Load.Rate()))))
	r.Line("Lost acknowledged writes", "%d  (%s keys read back)", len(o.Verified.Lost), report.Number(o.Verified.Keys))
	for _, kind := range load.Kinds {
		r.Line("Failed writes, "+string(kind), "%s", failed(o.Load.Kinds[kind]))
		for _, class := range o.Load.Kinds[kind].ByCount() {
			r.Line("", "%s × %s", report.Number(class.Count), class.Class)
		}
	}
	r.Line("Longest time without a write", "%s", report.Millis(o.Load.All.Gap.Length()))
	r.Line("Lock of an application", "%s", o.LockState())
	r.Line("Leader changes", "%d  (%s)", o.Timeline.LeaderChanges, o.succession())
	r.Line("Fewest voters seen", "%d", o.Timeline.FewestVoters)
	r.Line("Duration of the upgrade", "%s", report.Seconds(o.Took))
	if o.Timeline.Stalls.Count > 0 {
		r.Line("The machine stood still", "%s", o.Timeline.Stalls)
	}
	if len(o.Timeline.Violations) == 0 {
		r.Line("Invariants violated", "none")
	}
	for _, violation := range o.Timeline.Violations {
		r.Line("Invariant violated", "%s", violation)
	}
	for _, lost := range o.Verified.Lost {
		r.Line("Lost", "%s", lost)
	}
	return r.String()
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
	text := report.Of(t.Failed, t.Attempts())
	if t.Failed > 0 {
		text += ", " + oneIn(t)
	}
	return text
}

func oneIn(t load.Totals) string {
	if t.Failed == 0 {
		return "none"
	}
	return "1 in " + report.Number(t.Attempts()/t.Failed)
}
