package consul

import (
	"sync"
	"time"
)

const (
	// ringEvery is the minimum time between two wakes of a cluster, so that many changes cause only two reconciles a second.
	ringEvery = 500 * time.Millisecond
	// ringAfter is how long a hint waits for others: one election causes several.
	ringAfter = 50 * time.Millisecond
)

// bell turns hints into wakes. No hint is lost: each is followed by a wake, which it may share with others.
type bell struct {
	wake func()

	mu      sync.Mutex
	last    time.Time
	pending *time.Timer
	stopped bool
}

func (b *bell) hint() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped || b.pending != nil {
		return
	}
	b.pending = time.AfterFunc(max(ringAfter, ringEvery-time.Since(b.last)), b.ring)
}

// ring calls wake without holding the lock, because wake may call the Watcher.
func (b *bell) ring() {
	b.mu.Lock()
	stopped := b.stopped
	b.pending, b.last = nil, time.Now()
	b.mu.Unlock()
	if !stopped {
		b.wake()
	}
}

func (b *bell) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	if b.pending != nil {
		b.pending.Stop()
	}
}
