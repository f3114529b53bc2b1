package virtualtime

import (
	"fmt"
	"strings"
	"time"
)

// trace is what happened, for people. Lines are put into words only if somebody reads them.
type trace struct {
	start time.Time
	lines []line
}

type line struct {
	at     time.Time
	format string
	args   []any
}

func newTrace() *trace { return &trace{start: time.Now()} }

func (t *trace) add(format string, args ...any) {
	t.lines = append(t.lines, line{time.Now(), format, args})
}

// String is one line for each thing that happened: effects with their number, everything else indented.
func (t *trace) String() string {
	var b strings.Builder
	for _, l := range t.lines {
		fmt.Fprintf(&b, "%9.3fs  %s\n", l.at.Sub(t.start).Seconds(), fmt.Sprintf(l.format, l.args...))
	}
	return b.String()
}
