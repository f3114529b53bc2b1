package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/consul-operator/consul-operator/test/harness"
	"github.com/consul-operator/consul-operator/test/load"
	"github.com/consul-operator/consul-operator/test/observer"
)

// report is all that a run found.
type report struct {
	options
	dir    string
	counts map[string]int // of faults, by kind

	recovery time.Duration // from the last fault until Ready
	notReady error         // why it is not

	regained     time.Duration // from the loss of the quorum for good until Ready
	notRecovered error         // why it is not
	unwanted     []string      // what is not as wanted though it is Ready

	load       load.Result
	verified   load.Verification
	unreadable error
	lockLost   error
	history    *history
	linearity  linearity
	timeline   observer.Timeline

	restless  []string // what was written when there was nothing to do
	restarted string   // pods that a new operator touched
}

// violations are what must never be, one line each.
func (r *report) violations() []string {
	var found []string
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for _, v := range r.timeline.Violations {
		add("%s", v)
	}
	for _, write := range r.restless {
		add("I5 written though there was nothing to do: %s", write)
	}
	if r.restarted != "" {
		add("I6 a new operator touched the pods: %s", r.restarted)
	}
	if r.notReady != nil {
		add("I7 %v", r.notReady)
	}
	if r.notRecovered != nil {
		add("I7 the quorum was lost for good: %v", r.notRecovered)
	}
	for _, difference := range r.unwanted {
		add("I7 it is Ready, and yet %s", difference)
	}
	for _, lost := range r.verified.Lost {
		add("I8 lost: %s", lost)
	}
	if r.lockLost != nil && !load.Unrenewed(r.lockLost) {
		add("I8 %v", r.lockLost)
	}
	if r.unreadable != nil {
		add("I8 the last values cannot be read: %v", r.unreadable)
	}
	if keys := r.linearity.illegal; len(keys) > 0 {
		add("I8 not linearizable: the histories of %s", some(keys))
	}
	if keys := r.linearity.undecided; len(keys) > 0 {
		add("I8 not known: the histories of %s could not be checked within %s each", some(keys), checkLimit)
	}
	return found
}

func (r *report) lock() string {
	switch {
	case r.lockLost == nil:
		return "held all the time"
	case load.Unrenewed(r.lockLost):
		return "given up by its application: " + r.lockLost.Error()
	}
	return "LOST"
}

func (r *report) verdict() error {
	if n := len(r.violations()); n > 0 {
		return fmt.Errorf("%s, see the report; seed %d, logs in %s", harness.Count(n, "violation"), r.seed, r.dir)
	}
	return nil
}

func (r *report) text() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-30s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "Chaos for %s, seed %d\n\n", r.duration, r.seed)
	total := 0
	for _, n := range r.counts {
		total += n
	}
	line("Faults and changes", "%d", total)
	for _, name := range sortedKeys(r.counts) {
		line("", "%d × %s", r.counts[name], name)
	}
	t := r.timeline
	line("The machine stood still", "%s", t.Stalls)
	line("Time with a fault in effect", "%s of %s; I1 to I3 were asserted in the rest",
		harness.Seconds(t.Disturbed), harness.Seconds(t.End.Sub(t.Start)))
	if r.notReady == nil {
		line("Ready after the last fault in", "%s", harness.Seconds(r.recovery))
	}
	if r.regained > 0 {
		line("Most servers lost for good", "recovered from the rest and Ready after %s", harness.Seconds(r.regained))
	}
	line("Leader changes", "%d", t.LeaderChanges)
	r.operations(line)
	for _, v := range r.violations() {
		line("VIOLATED", "%s", v)
	}
	if len(r.violations()) == 0 {
		line("Invariants violated", "none")
	}
	if len(r.linearity.files) > 0 {
		line("Drawn for a browser", "%s", some(r.linearity.files))
	}
	line("Logs and timeline", "%s", r.dir)
	return b.String()
}

// some names the first few.
func some(names []string) string {
	const few = 3
	if more := len(names) - few; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), more)
	}
	return strings.Join(names, ", ")
}

func (r *report) operations(line func(name, format string, args ...any)) {
	for _, action := range actions {
		fates := r.history.fates[action]
		line("Operations, "+string(action), "%s ok, %s failed, %s unknown", harness.Number(fates[succeeded]),
			harness.Number(fates[failed]), harness.Number(fates[unknown]))
	}
	line("Longest time without any", "%s", harness.Seconds(r.history.longestGap))
	linearizable := "yes"
	switch {
	case len(r.linearity.illegal) > 0:
		linearizable = "NO"
	case len(r.linearity.undecided) > 0:
		linearizable = "not known"
	}
	line("Linearizable", "%s  (%s operations on %s, checked in %s)", linearizable,
		harness.Number(r.linearity.operations), harness.Count(r.linearity.keys, "key"), harness.Seconds(r.linearity.took))
	all := r.load.All
	line("Writes through the Service", "%s of %s failed, longest gap %s", harness.Number(all.Failed),
		harness.Number(all.Attempts()), harness.Seconds(all.Gap.Length()))
	line("Lock of an application", "%s", r.lock())
	line("Lost acknowledged writes", "%d  (%s read back)", len(r.verified.Lost), harness.Count(r.verified.Keys, "key"))
}

// keep leaves the report and the timeline beside the logs.
func (c *chaos) keep(r *report) error {
	timeline, err := json.MarshalIndent(r.timeline, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(r.dir, "report.txt"), []byte(r.text()), 0o644), //nolint:gosec // for everybody to read
		os.WriteFile(filepath.Join(r.dir, "timeline.json"), timeline, 0o644))      //nolint:gosec // for everybody to read
}
