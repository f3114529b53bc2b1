package observer

import (
	"context"
	"fmt"
	"time"
)

const (
	stallTick = 10 * time.Millisecond
	// stallLimit is how late a tick may be. Consul deposes a leader whose machine stands still for as long as its lease, half
	// a second times raft_multiplier, or less if its last word to the others was a while ago.
	stallLimit = 150 * time.Millisecond
)

// Stalls are the times in which this program could not run, and no other, most likely: the machine stood still, as a
// virtual one does whose host is busy. That is a fault that nobody has injected.
type Stalls struct {
	Count   int
	Longest time.Duration
}

func (s Stalls) String() string {
	switch s.Count {
	case 0:
		return fmt.Sprintf("never for longer than %d ms", stallLimit.Milliseconds())
	case 1:
		return fmt.Sprintf("once, for %d ms; that is a fault, too", s.Longest.Milliseconds())
	}
	return fmt.Sprintf("%d times, for up to %d ms; that is a fault, too", s.Count, s.Longest.Milliseconds())
}

// watchStalls lets the model know that this program runs.
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

// runs is called before anything else that is seen, so that nothing that a stall has caused is judged before the stall.
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
