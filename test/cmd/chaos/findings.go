package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

// findings are all that a run found.
type findings struct {
	options
	dir    string
	counts map[string]int // of faults, by kind

	recovery time.Duration // from the last fault until Ready
	notReady error         // why it is not

	regained     time.Duration // from the loss of the quorum for good until Ready
	notRecovered error         // why it is not
	unwanted     []string      // what is not as wanted though it is Ready

	harness.Outcome
	backups    backups
	unreadable error
	history    *history
	linearity  linearity

	leaked     []string // the secrets that got out
	unsearched error    // why that is not known

	restless  []string // what was written when there was nothing to do
	restarted string   // pods that a new operator touched
}

// reached says whether the cluster became what the user wants.
func (r *findings) reached() bool { return r.notReady == nil && len(r.unwanted) == 0 }

// violations are what must never be, one line each.
func (r *findings) violations() []string {
	var found []string
	add := func(broken invariant.Invariant, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s: %s", broken, fmt.Sprintf(format, args...)))
	}
	for _, v := range r.Timeline.Violations {
		found = append(found, v.String())
	}
	for _, write := range r.restless {
		add(invariant.I5, "%s was written", write)
	}
	if r.restarted != "" {
		add(invariant.I6, "%s", r.restarted)
	}
	if r.notReady != nil {
		add(invariant.I7, "%v", r.notReady)
	}
	if r.notRecovered != nil {
		add(invariant.I7, "the quorum was lost for good: %v", r.notRecovered)
	}
	for _, difference := range r.unwanted {
		add(invariant.I7, "it is Ready, and yet %s", difference)
	}
	if dead := r.backups.dead(r.duration); dead != "" {
		add(invariant.I7, "%s", dead)
	}
	for _, lost := range r.Verified.Lost {
		add(invariant.I8, "%s", lost)
	}
	// A restore keeps it: the lock was taken before the first snapshot, so all of them have it, and its session.
	if broken := r.LockBroken(); broken != nil {
		add(invariant.I8, "%v", broken)
	}
	if r.unreadable != nil {
		add(invariant.I8, "the last values cannot be read: %v", r.unreadable)
	}
	for _, secret := range r.leaked {
		add(invariant.I12, "%s", secret)
	}
	if r.unsearched != nil {
		add(invariant.I12, "not known: %v", r.unsearched)
	}
	if keys := r.linearity.illegal; len(keys) > 0 {
		add(invariant.I8, "the histories of %s are not linearizable", report.Some(keys))
	}
	if keys := r.linearity.undecided; len(keys) > 0 {
		add(invariant.I8, "not known, the histories of %s could not be checked within %s each", report.Some(keys), checkLimit)
	}
	return found
}

func (r *findings) verdict() error {
	if n := len(r.violations()); n > 0 {
		return fmt.Errorf("%s, see the report; seed %d, logs in %s", report.Count(n, "violation"), r.seed, r.dir)
	}
	return nil
}

func (r *findings) text() string {
	t := report.New(30, fmt.Sprintf("Chaos for %s, seed %d", r.duration, r.seed))
	total := 0
	for _, n := range r.counts {
		total += n
	}
	t.Line("Faults and changes", "%d", total)
	for _, name := range sortedKeys(r.counts) {
		t.Line("", "%d × %s", r.counts[name], name)
	}
	t.Line("The machine stood still", "%s", r.Timeline.Stalls)
	t.Line("Time with a fault in effect", "%s of %s; I1 to I3 were asserted in the rest",
		report.Seconds(r.Timeline.Disturbed), report.Seconds(r.Timeline.End.Sub(r.Timeline.Start)))
	if r.reached() {
		t.Line("Ready after the last fault in", "%s", report.Seconds(r.recovery))
	}
	if r.regained > 0 {
		t.Line("Most servers lost for good", "recovered from the rest and Ready after %s", report.Seconds(r.regained))
	}
	t.Line("Leader changes", "%d", r.Timeline.LeaderChanges)
	t.Line("Snapshots", "%d of %d saved, %d of %d restores done", len(r.backups.good), r.backups.asked, r.backups.restored,
		r.backups.restores)
	r.operations(t)
	for _, v := range r.violations() {
		t.Line("VIOLATED", "%s", v)
	}
	t.Line("Secrets that got out", "%d", len(r.leaked))
	if len(r.violations()) == 0 {
		t.Line("Invariants violated", "none")
	}
	if len(r.linearity.files) > 0 {
		t.Line("Drawn for a browser", "%s", report.Some(r.linearity.files))
	}
	t.Line("Logs and timeline", "%s", r.dir)
	return t.String()
}

func (r *findings) operations(t *report.Report) {
	for _, action := range actions {
		fates := r.history.fates[action]
		t.Line("Operations, "+string(action), "%s ok, %s failed, %s unknown", report.Number(fates[succeeded]),
			report.Number(fates[failed]), report.Number(fates[unknown]))
	}
	t.Line("Longest time without any", "%s", report.Seconds(r.history.longestGap))
	linearizable := "yes"
	switch {
	case len(r.linearity.illegal) > 0:
		linearizable = "NO"
	case len(r.linearity.undecided) > 0:
		linearizable = "not known"
	}
	t.Line("Linearizable", "%s  (%s operations on %s, checked in %s)", linearizable,
		report.Number(r.linearity.operations), report.Count(r.linearity.keys, "key"), report.Seconds(r.linearity.took))
	all := r.Load.All
	t.Line("Writes through the Service", "%s failed, longest gap %s", report.Of(all.Failed, all.Attempts()),
		report.Seconds(all.Gap.Length()))
	t.Line("Lock of an application", "%s", r.LockState())
	t.Line("Lost acknowledged writes", "%d  (%s read back)", len(r.Verified.Lost), report.Count(r.Verified.Keys, "key"))
}

// keep leaves the report and the timeline beside the logs.
func (c *chaos) keep(r *findings) error {
	timeline, err := json.MarshalIndent(r.Timeline, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(r.dir, "report.txt"), []byte(r.text()), 0o644), //nolint:gosec // for everybody to read
		os.WriteFile(filepath.Join(r.dir, "timeline.json"), timeline, 0o644))      //nolint:gosec // for everybody to read
}
