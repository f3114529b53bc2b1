package consul

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
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
	group   *sync.WaitGroup // all goroutines
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

// waiting waits until a request is answered or breaks. If it was answered, next sends it again.
type waiting func() (next func() waiting, err error)

// watchServers keeps a blocking query open on the leader's agent.
func (f *follow) watchServers(ctx context.Context) {
	f.keepOpen(ctx, func(_ int, opened func()) waiting { return f.queryServers(ctx, f.dial(f.leader), 0, opened) })
}

func (f *follow) queryServers(ctx context.Context, agent Agent, index uint64, opened func()) waiting {
	answer := agent.WatchServers(ctx, index, f.wait())
	return func() (func() waiting, error) {
		next, err := answer()
		return func() waiting {
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
			pause(ctx, queryPause)
			return f.queryServers(ctx, agent, next, opened)
		}, err
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
	f.keepOpen(ctx, func(attempt int, opened func()) waiting {
		read := f.dial(followers[attempt%len(followers)]).WatchLeader(ctx)
		return func() (func() waiting, error) {
			defer f.streaming.Store(false)
			isOpen := false
			return nil, read(func() {
				if !isOpen {
					isOpen = true
					f.streaming.Store(true)
					opened()
					return
				}
				f.log.V(1).Info("A Consul server reports that leadership moved")
				f.bell.hint()
			})
		}
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
func (f *follow) keepOpen(ctx context.Context, open func(attempt int, opened func()) waiting) {
	k := &kept{follow: f, ctx: ctx, open: open, delay: retryFirst}
	k.try()
}

// kept is a request that is kept open. Its goroutines follow on each other, so that one that waits for minutes has a small stack.
type kept struct {
	*follow
	ctx     context.Context
	open    func(attempt int, opened func()) waiting
	attempt int
	delay   time.Duration // the next pause
	since   time.Time     // of this attempt
	isOpen  bool
}

func (k *kept) try() {
	k.since, k.isOpen = time.Now(), false
	k.await(k.open(k.attempt, func() {
		k.isOpen = true
		k.bell.hint()
	}))
}

func (k *kept) await(wait waiting) {
	k.group.Go(func() {
		next, err := wait()
		k.group.Go(func() {
			switch {
			case k.ctx.Err() != nil:
			case err != nil:
				k.retry(err)
			default:
				k.await(next())
			}
		})
	})
}

func (k *kept) retry(reason error) {
	if k.isOpen || k.attempt == 0 {
		k.bell.hint()
	}
	if k.isOpen && time.Since(k.since) >= stableAfter {
		k.delay = retryFirst
	}
	if errors.Is(reason, ErrForbidden) {
		k.delay = retryForbidden
	}
	k.log.V(1).Info("A watch of Consul ended", "reason", reason.Error(), "retryIn", k.delay.String())
	pause(k.ctx, k.delay)
	k.delay = min(2*k.delay, retryLast)
	k.attempt++
	if k.ctx.Err() == nil {
		k.try()
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
