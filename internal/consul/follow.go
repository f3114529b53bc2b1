package consul

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/consul-operator/consul-operator/internal/plan"
)

const (
	// waitLong is how long a blocking query waits. Consul allows no more than 10 minutes.
	waitLong = 10 * time.Minute
	// waitShort is the same while no stream reports leader changes: the leader is asked only when the wait ends.
	waitShort = 4 * time.Minute
	// queryPause is the minimum time between two blocking queries, in case Consul answers each at once.
	queryPause = time.Second

	// healthEvery is how often autopilot's verdicts are asked for: nothing reports that a voter has gone bad. It is up to a tenth
	// longer, at random, so that not all clusters are asked at once.
	healthEvery = 50 * time.Second

	// The pauses before a request is reopened double. While a server is down, the operator requeues by itself, and follows
	// other addresses once there is another leader: long pauses are for problems that last.
	retryFirst = time.Second
	retryLast  = 5 * time.Minute
	// retryForbidden is for a stream that ACLs refuse: only a person can change that.
	retryForbidden = 10 * time.Minute
	// stableAfter is how long a request must have been open for the next pause to be the shortest again.
	stableAfter = time.Minute
)

// follow is the watch of one cluster at one set of addresses.
type follow struct {
	leader  Target
	servers []Target // by address
	dial    Dialer
	log     logr.Logger
	bell    *bell
	cancel  context.CancelFunc
	timer   *time.Timer // of the next question for autopilot's verdicts
	// streaming is whether the stream would report a new leader.
	streaming atomic.Bool
}

func (f *follow) end() {
	f.leave()
	f.bell.stop()
}

// leave ends all requests. The lock of the Watcher is held.
func (f *follow) leave() {
	f.cancel()
	f.timer.Stop()
}

// watchServers keeps a blocking query open on the leader's agent.
func (f *follow) watchServers(ctx context.Context) {
	f.keepOpen(ctx, func(_ int, opened func()) error { return f.queryServers(ctx, f.dial(f.leader), opened) })
}

// queryServers returns when a query fails.
func (f *follow) queryServers(ctx context.Context, agent Agent, opened func()) error {
	for index := uint64(0); ; pause(ctx, queryPause) {
		next, err := agent.WatchServers(ctx, index, f.wait())
		if err != nil {
			return err
		}
		switch {
		case index == 0:
			opened()
		case next != index:
			f.log.V(1).Info("Consul's catalog of servers changed", "address", f.leader.Address)
			f.bell.hint()
		case !leads(ctx, agent):
			f.bell.hint()
		}
		if next < index { // a snapshot was restored, so start over
			next = 0
		} else {
			next = max(next, 1) // 0 would not block
		}
		index = next
	}
}

func (f *follow) wait() time.Duration {
	if f.streaming.Load() {
		return waitLong
	}
	return waitShort
}

// askHealth gives a hint if autopilot calls a server unhealthy, or the leader refuses the operator's token: neither is so in an
// idle cluster. A leader that does not answer is noticed by the others.
func (f *follow) askHealth(ctx context.Context) {
	health, err := f.dial(f.leader).Health(ctx)
	isRefused := errors.Is(err, ErrForbidden) && f.leader.Token != ""
	isUnhealthy := err == nil && slices.Contains(slices.Collect(maps.Values(health)), plan.HealthUnhealthy)
	if ctx.Err() == nil && (isRefused || isUnhealthy) {
		f.log.V(1).Info("Autopilot calls a server unhealthy, or the operator's token is refused")
		f.bell.hint()
	}
}

// leads reports whether the agent is still the leader.
func leads(ctx context.Context, agent Agent) bool {
	self, err := agent.Self(ctx)
	return err == nil && self.Leads
}

// watchLeader keeps a stream open on a follower, and moves to the next follower at each attempt.
func (f *follow) watchLeader(ctx context.Context) {
	followers := f.followers()
	f.keepOpen(ctx, func(attempt int, opened func()) error {
		defer f.streaming.Store(false)
		first := true
		return f.dial(followers[attempt%len(followers)]).WatchLeader(ctx, func() {
			if first {
				first = false
				f.streaming.Store(true)
				opened()
				return
			}
			f.log.V(1).Info("A Consul server reports that leadership moved")
			f.bell.hint()
		})
	})
}

// followers are the servers to stream from; in a cluster of one it is the leader itself.
func (f *follow) followers() []Target {
	var out []Target
	for _, server := range f.servers {
		if server.Address != f.leader.Address {
			out = append(out, server)
		}
	}
	if len(out) == 0 {
		out = append(out, f.leader)
	}
	return out
}

// keepOpen repeats a request until ctx is done, with growing pauses. It gives a hint when the request is open and when it ends;
// a request that cannot be opened gives a hint only the first time.
func (f *follow) keepOpen(ctx context.Context, request func(attempt int, opened func()) error) {
	delay := retryFirst
	for attempt := 0; ; attempt++ {
		start, open := time.Now(), false
		err := request(attempt, func() {
			open = true
			f.bell.hint()
		})
		if ctx.Err() != nil {
			return
		}
		if open || attempt == 0 {
			f.bell.hint()
		}
		if open && time.Since(start) >= stableAfter {
			delay = retryFirst
		}
		if errors.Is(err, ErrForbidden) {
			delay = retryForbidden
		}
		f.log.V(1).Info("A watch of Consul ended", "reason", err.Error(), "retryIn", delay.String())
		pause(ctx, delay)
		delay = min(2*delay, retryLast)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
