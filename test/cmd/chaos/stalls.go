package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/consul-operator/consul-operator/test/lib/report"
)

const (
	stallTick = 10 * time.Millisecond
	// stallLimit is how late a tick may be. Consul deposes a leader whose machine stands still for half a second, or less if
	// its last word to the others was a while ago.
	stallLimit = 150 * time.Millisecond
)

// stalls are the times in which this program could not run, and no other, most likely: the machine stood still, as a
// virtual one does whose host is busy. That is a fault that nobody has injected.
type stalls struct {
	disturb func()

	mu      sync.Mutex
	count   int
	longest time.Duration
}

// watch runs until the context ends.
func (s *stalls) watch(ctx context.Context) {
	ticker := time.NewTicker(stallTick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.ticked(time.Since(last) - stallTick)
			last = time.Now()
		}
	}
}

func (s *stalls) ticked(late time.Duration) {
	if late < stallLimit {
		return
	}
	s.disturb()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	s.longest = max(s.longest, late)
}

func (s *stalls) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == 0 {
		return "never for longer than " + report.Millis(stallLimit)
	}
	return fmt.Sprintf("%s, for up to %s; that is a fault, too", report.Count(s.count, "time"), report.Millis(s.longest))
}
