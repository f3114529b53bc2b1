package observer

import (
	"context"
	"fmt"
	"time"

	"github.com/consul-operator/consul-operator/test/lib/report"
)

const (
	stallTick = 10 * time.Millisecond
	// stallLimit is how late a tick may be. Consul deposes a leader whose machine stands still for as long as its lease, which is
	// half a second times raft_multiplier (2.5 s by default), or less if it last reached the others a while ago.
	stallLimit = 150 * time.Millisecond
)

// Stalls are the times in which this program could not run, and most likely no other could: the machine stood still, as a
// virtual one does on a busy host. Each is a fault that nobody injected.
type Stalls struct {
	Count   int
	Longest time.Duration
}

func (s Stalls) String() string {
	switch s.Count {
	case 0:
		return "never for longer than " + report.Millis(stallLimit)
	case 1:
		return fmt.Sprintf("once, for %s; that is a fault, too", report.Millis(s.Longest))
	}
	return fmt.Sprintf("%s, for up to %s; that is a fault, too", report.Count(s.Count, "time"), report.Millis(s.Longest))
}

// watchStalls tells the model again and again that this program runs.
func (o *Observer) watchStalls(ctx context.Context) {
	o.update(func(m *model, now time.Time) { m.ran = now })
	ticker := time.NewTicker(stallTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			o.update(func(*model, time.Time) {})
		}
	}
}

// runs is called before anything else that is seen, so that nothing that a stall caused is judged before the stall is known.
func (m *model) runs(now time.Time) {
	if m.ran.IsZero() {
		return
	}
	if late := now.Sub(m.ran) - stallTick; late >= stallLimit {
		m.stalls = Stalls{Count: m.stalls.Count + 1, Longest: max(m.stalls.Longest, late)}
		m.disturb(now)
	}
	m.ran = now
}
