package virtualtime

import (
	"fmt"
	"os"
	"runtime/debug"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // short-lived garbage, and little that stays
	start := time.Now()
	code := m.Run()
	fmt.Printf("%d runs, %d passes, %d effects in %s; %d runs ended where they met the run without trouble\n",
		runs.Load(), passesDone.Load(), effectsDone.Load(), time.Since(start).Round(time.Second), runsCutShort.Load())
	os.Exit(code)
}

// expect compares a run with the one without trouble.
func expect(t *testing.T, what string, o outcome, b *baseline) {
	t.Helper()
	switch {
	case len(o.violations) > 0:
		t.Errorf("%s: %v\n%s", what, o.violations, o.trace)
	case o.end != b.end:
		t.Errorf("%s: it ends in\n%s\ninstead of\n%s\n%s", what, o.end, b.end, o.trace)
	case o.tally != b.tally:
		t.Errorf("%s: it takes %+v instead of %+v\n%s", what, o.tally, b.tally, o.trace)
	}
}
