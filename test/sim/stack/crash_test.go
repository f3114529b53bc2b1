package stack

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// wholeStories has each run with trouble told to its end, also where it has come to a situation that is known from the
// run without. It takes several minutes.
var wholeStories = os.Getenv("SIM_WHOLE_STORIES") != ""

// What was run, for the last line of the output.
var runs, effectsDone, passesDone, rejoinedRuns atomic.Int64

func count(o outcome) {
	runs.Add(1)
	effectsDone.Add(int64(len(o.effects)))
	passesDone.Add(int64(o.passes))
	if o.rejoined {
		rejoinedRuns.Add(1)
	}
}

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // short-lived garbage, and little that stays
	start := time.Now()
	code := m.Run()
	fmt.Printf("%d runs, %d passes, %d effects in %s; %d runs ended where they met the run without trouble\n",
		runs.Load(), passesDone.Load(), effectsDone.Load(), time.Since(start).Round(time.Second), rejoinedRuns.Load())
	os.Exit(code)
}

func TestBaseline(t *testing.T) {
	for _, story := range scenarios() {
		t.Run(story.name, func(t *testing.T) {
			start := time.Now()
			o := baselineOf(t, story)
			t.Logf("%d effects, %d passes, %s\n%s\n%+v", len(o.effects), o.passes, time.Since(start), o.end, o.tally)
			NewWithT(t).Expect(o.violations).To(BeEmpty(), o.trace)
		})
	}
}

// An operator may die at any moment. Another one goes on, and nothing comes of it.
func TestDeathAtEachEffect(t *testing.T) {
	for _, story := range scenarios() {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, applied %t", story.name, applied), func(t *testing.T) {
				t.Parallel()
				die(t, story, applied, time.Second)
			})
		}
	}
}

func die(t *testing.T, story scenario, applied bool, downtime time.Duration) {
	b := baselineOf(t, story)
	NewWithT(t).Expect(b.violations).To(BeEmpty(), b.trace)
	count(b.outcome)
	for k, effect := range b.effects {
		k++
		killedAt := ""
		o := b.compare(t, b.before(k), settings{
			downtime: downtime,
			interfere: func(c call, n int) verdict {
				if n != k || !c.effect || killedAt != "" {
					return verdict{}
				}
				killedAt = c.String()
				return verdict{kill: true, skip: !applied}
			},
		})
		count(o)
		expect(t, fmt.Sprintf("killed at effect %d, %s", k, effect), o, b, killedAt == effect.String())
	}
}

// expect compares a run with the one without trouble.
func expect(t *testing.T, what string, o outcome, b *baseline, met bool) {
	t.Helper()
	switch {
	case !met:
		t.Errorf("%s: the trouble was not met\n%s", what, o.trace)
	case len(o.violations) > 0:
		t.Errorf("%s: %v\n%s", what, o.violations, o.trace)
	case o.end != b.end:
		t.Errorf("%s: it ends in\n%s\ninstead of\n%s\n%s", what, o.end, b.end, o.trace)
	case o.tally != b.tally:
		t.Errorf("%s: it takes %+v instead of %+v\n%s", what, o.tally, b.tally, o.trace)
	}
}
