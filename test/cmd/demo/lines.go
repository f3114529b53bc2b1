package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/consul-operator/consul-operator/test/lib/report"
)

// heartbeat is after how long a line is printed though nothing changed.
const heartbeat = 5 * time.Second

// lines prints a line for each change.
type lines struct {
	out    io.Writer
	look   func() frame
	before frame
	last   time.Duration
	began  bool
}

func (l *lines) run(ctx context.Context) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		l.print(l.look())
		select {
		case <-ctx.Done():
			l.print(l.look())
			return
		case <-ticker.C:
		}
	}
}

func (l *lines) print(f frame) {
	say := func(format string, args ...any) {
		fmt.Fprintf(l.out, "      %s  %s\n", clock(f.elapsed), fmt.Sprintf(format, args...))
	}
	if l.began {
		l.changes(f, say)
	}
	if !l.began || f.elapsed-l.last >= heartbeat {
		l.last = f.elapsed
		say("%s writes ok, %s failed, %s/s, longest gap %s, %d voters, leader %s",
			report.Number(f.writes.Acknowledged), report.Number(f.writes.Failed), report.Number(int(f.writes.Rate)),
			report.Millis(f.writes.LongestGap), f.now.Voters, f.now.Leader)
	}
	l.before, l.began = f, true
}

func (l *lines) changes(f frame, say func(string, ...any)) {
	for _, change := range f.now.Changes(l.before.now) {
		say("%s", change)
	}
	if f.now.Message != l.before.now.Message || f.now.Reason != l.before.now.Reason {
		say("operator: %s: %s", f.now.Reason, f.now.Message)
	}
	if f.now.Violations > l.before.now.Violations {
		say("an invariant was violated, see the report")
	}
}
