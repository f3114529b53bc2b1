package consul

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/consul-operator/consul-operator/internal/plan"
)

var _ manager.Runnable = (*Watcher)(nil)

var cluster = types.NamespacedName{Namespace: "default", Name: "consul"}

// fakeServers are the agents of one cluster, in the time of a synctest bubble.
type fakeServers struct {
	mu       sync.Mutex
	calls    []string
	leader   string
	down     map[string]error
	sick     bool          // what autopilot calls s2
	healths  int           // calls for that, which are not among the others
	streamed error         // what WatchLeader returns at once
	changed  chan struct{} // closed when index changes
	index    uint64
	signs    map[string]func() // of the open streams
	ends     map[string]context.CancelCauseFunc
}

func newFakeServers() *fakeServers {
	return &fakeServers{
		leader: "s1", index: 10, changed: make(chan struct{}),
		down: map[string]error{}, signs: map[string]func(){}, ends: map[string]context.CancelCauseFunc{},
	}
}

func (s *fakeServers) dial(to Target) Agent { return fakeAgent{fakeServers: s, address: to.Address} }

func (s *fakeServers) called(address, call string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, address+" "+call)
	return s.down[address]
}

func (s *fakeServers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// since returns the calls after the first n.
func (s *fakeServers) since(n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls[n:])
}

// sign makes the log of a follower say that leadership moved.
func (s *fakeServers) sign() {
	s.mu.Lock()
	changed := s.signs["s2"]
	s.mu.Unlock()
	changed()
}

// with makes a change that no request reports.
func (s *fakeServers) with(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// change is a change of the catalog.
func (s *fakeServers) change() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	close(s.changed)
	s.changed = make(chan struct{})
}

// kill breaks all open requests to a server, and refuses new ones.
func (s *fakeServers) kill(address string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down[address] = err
	for key, end := range s.ends {
		if key[:2] == address {
			end(err)
		}
	}
}

// open registers a request that is open until the returned context is done.
func (s *fakeServers) open(ctx context.Context, key string) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends[key] = cancel
	return ctx, cancel
}

type fakeAgent struct {
	*fakeServers
	Agent   // panics for all calls that a Watcher has no business with
	address string
}

func (a fakeAgent) Self(context.Context) (Self, error) {
	if err := a.called(a.address, "self"); err != nil {
		return Self{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return Self{Leads: a.address == a.leader}, nil
}

func (a fakeAgent) Health(context.Context) (map[string]plan.Health, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.healths++
	if a.sick {
		return map[string]plan.Health{"s1": plan.HealthHealthy, "s2": plan.HealthUnhealthy}, nil
	}
	return map[string]plan.Health{"s1": plan.HealthHealthy, "s2": plan.HealthHealthy}, nil
}

func (a fakeAgent) WatchServers(ctx context.Context, index uint64, wait time.Duration) func() (uint64, error) {
	return func() (uint64, error) { return a.watchServers(ctx, index, wait) }
}

func (a fakeAgent) watchServers(ctx context.Context, index uint64, wait time.Duration) (uint64, error) {
	if err := a.called(a.address, "servers "+wait.String()); err != nil {
		return 0, err
	}
	ctx, cancel := a.open(ctx, a.address+"servers")
	defer cancel(nil)
	a.mu.Lock()
	now, changed := a.index, a.changed
	a.mu.Unlock()
	if index != now {
		return now, nil
	}
	select {
	case <-changed:
	case <-time.After(wait):
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.index, nil
}

func (a fakeAgent) WatchLeader(ctx context.Context) func(func()) error {
	return func(changed func()) error { return a.watchLeader(ctx, changed) }
}

func (a fakeAgent) watchLeader(ctx context.Context, changed func()) error {
	if err := a.called(a.address, "leader"); err != nil {
		return err
	}
	if a.streamed != nil {
		return a.streamed
	}
	ctx, cancel := a.open(ctx, a.address+"leader")
	defer cancel(nil)
	a.mu.Lock()
	a.signs[a.address] = changed
	a.mu.Unlock()
	changed()
	<-ctx.Done()
	return context.Cause(ctx)
}

// watching runs a test in a bubble with a Watcher that follows n servers, s1 the leader, and has woken for the start.
func watching(t *testing.T, n int, s *fakeServers, test func(g *WithT, w *Watcher, wakes func() int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s.changed = make(chan struct{}) // of this bubble
		var mu sync.Mutex
		woken := 0
		w := NewWatcher(s.dial, func(c types.NamespacedName) {
			mu.Lock()
			defer mu.Unlock()
			g.Expect(c).To(Equal(cluster))
			woken++
		}, logr.Discard())
		defer w.Close()
		w.Follow(cluster, server("s1"), addresses(n))
		synctest.Wait()
		time.Sleep(10 * time.Second)
		mu.Lock()
		g.Expect(woken).To(Equal(1), "one wake for the start")
		mu.Unlock()
		test(g, w, func() int {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			n := woken
			woken = 0
			return n
		})
	})
}

func server(address string) Target { return Target{Address: address} }

func addresses(n int) []Target {
	var out []Target
	for i := range n {
		out = append(out, server(fmt.Sprintf("s%d", i+1)))
	}
	return out
}

func TestIdleClusterCostsLessThanTwoCallsAMinute(t *testing.T) {
	forbidden := fmt.Errorf("monitor: %w", ErrForbidden)
	cases := map[string]struct {
		servers  int
		streamed error
		atMost   int // calls an hour
	}{
		"1 server":             {servers: 1, atMost: 15},
		"3 servers":            {servers: 3, atMost: 15},
		"7 servers":            {servers: 7, atMost: 15},
		"7, stream forbidden":  {servers: 7, streamed: forbidden, atMost: 48},
		"7, stream ends early": {servers: 7, streamed: errors.New("EOF"), atMost: 58},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newFakeServers()
			s.streamed = c.streamed
			watching(t, c.servers, s, func(g *WithT, _ *Watcher, wakes func() int) {
				wakes()
				const hours = 3
				time.Sleep(hours * time.Hour)
				g.Expect(s.count()).To(BeNumerically("<=", hours*c.atMost), "%v", s.since(0))
				g.Expect(s.count()).To(BeNumerically(">=", hours*12), "it looks after each wait")
				g.Expect(s.count() + s.healths).To(BeNumerically("<=", hours*119))
				g.Expect(wakes()).To(BeZero())
			})
		})
	}
}

// Serf hears a voter whose disk is full, and the catalog does not change: only autopilot knows.
func TestWatcherWakesWhenAVoterGoesBad(t *testing.T) {
	s := newFakeServers()
	watching(t, 3, s, func(g *WithT, _ *Watcher, wakes func() int) {
		wakes()
		s.with(func() { s.sick = true })
		time.Sleep(time.Minute)
		g.Expect(wakes()).To(Equal(1))
		s.with(func() { s.sick = false })
		time.Sleep(time.Hour)
		g.Expect(wakes()).To(BeZero())
	})
}

func TestWatcherWakes(t *testing.T) {
	lost := errors.New("connection lost")
	cases := map[string]struct {
		cause func(s *fakeServers)
		wakes int
		in    time.Duration
	}{
		"catalog":          {func(s *fakeServers) { s.change() }, 1, time.Second},
		"new leader":       {func(s *fakeServers) { s.sign() }, 1, time.Second},
		"election":         {func(s *fakeServers) { s.sign(); s.sign(); s.change() }, 1, time.Second},
		"leader dies":      {func(s *fakeServers) { s.kill("s1", lost) }, 1, time.Hour},
		"follower dies":    {func(s *fakeServers) { s.kill("s2", lost) }, 2, time.Hour}, // and the next follower's stream
		"all die":          {func(s *fakeServers) { s.kill("s1", lost); s.kill("s2", lost); s.kill("s3", lost) }, 1, time.Hour},
		"lost sign":        {func(s *fakeServers) { s.with(func() { s.leader = "s3" }) }, 1, 11 * time.Minute},
		"snapshot restore": {func(s *fakeServers) { s.with(func() { s.index = 3 }); s.change() }, 2, time.Hour},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newFakeServers()
			watching(t, 3, s, func(g *WithT, _ *Watcher, wakes func() int) {
				before := s.count()
				wakes()
				c.cause(s)
				time.Sleep(c.in)
				g.Expect(wakes()).To(Equal(c.wakes), "%v", s.since(0))
				g.Expect(s.count()-before).To(BeNumerically("<=", int(c.in.Minutes())*2+16), "not a busy loop")
			})
		})
	}
}

func TestWatcherWakesWhenAServerIsBack(t *testing.T) {
	s := newFakeServers()
	watching(t, 1, s, func(g *WithT, _ *Watcher, wakes func() int) {
		wakes()
		s.kill("s1", errors.New("gone"))
		time.Sleep(10 * time.Minute)
		g.Expect(wakes()).To(Equal(1))
		s.kill("s1", nil)
		time.Sleep(2 * retryLast)
		g.Expect(wakes()).To(BeNumerically("~", 1, 1))
		g.Expect(s.since(s.count() - 2)).To(ContainElement(ContainSubstring("servers")))
	})
}

func TestWakesAreLimited(t *testing.T) {
	s := newFakeServers()
	watching(t, 3, s, func(g *WithT, _ *Watcher, wakes func() int) {
		wakes()
		for range 1000 {
			s.sign()
			s.change()
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		g.Expect(wakes()).To(BeNumerically("~", 20, 2), "in ten seconds")
	})
}

func TestFollowAndForget(t *testing.T) {
	s := newFakeServers()
	watching(t, 3, s, func(g *WithT, w *Watcher, wakes func() int) {
		wakes()
		before := s.count()
		w.Follow(cluster, server("s1"), []Target{server("s3"), server("s2"), server("s1"), server("s1")})
		time.Sleep(time.Minute)
		g.Expect(s.count()).To(Equal(before), "the same addresses are the same watch")
		g.Expect(wakes()).To(BeZero())

		w.Follow(cluster, server("s2"), addresses(3))
		time.Sleep(time.Minute)
		g.Expect(s.since(before)).To(ConsistOf("s1 leader", "s2 servers 10m0s", "s2 servers 10m0s"))
		g.Expect(wakes()).To(Equal(1))

		w.Forget(cluster)
		w.Forget(cluster)
		before = s.count()
		s.change()
		time.Sleep(time.Hour)
		g.Expect(s.count()).To(Equal(before))
		g.Expect(wakes()).To(BeZero())

		w.Follow(cluster, server("s1"), addresses(3))
		time.Sleep(time.Second)
		g.Expect(wakes()).To(Equal(1))
		w.Follow(cluster, server(""), addresses(3))
		s.change()
		time.Sleep(time.Second)
		g.Expect(wakes()).To(BeZero(), "no leader, no watch")
	})
}

// What servers are called with is a part of the watch: one with a token that was revoked, or that believes a former authority,
// would be dead.
func TestFollowWithAnotherTokenOrAuthority(t *testing.T) {
	s := newFakeServers()
	watching(t, 3, s, func(g *WithT, w *Watcher, _ func() int) {
		another := NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
		for name, change := range map[string]func(*Target){
			"token":         func(to *Target) { to.Token = "another" },
			"agent's token": func(to *Target) { to.AgentToken = "another" },
			"authority":     func(to *Target) { to.TLS = another },
		} {
			w.Follow(cluster, server("s1"), addresses(3))
			time.Sleep(time.Minute)
			before := s.count()
			leader, all := server("s1"), addresses(3)
			change(&leader)
			for i := range all {
				change(&all[i])
			}
			w.Follow(cluster, leader, all)
			time.Sleep(time.Minute)
			g.Expect(s.since(before)).To(ContainElements(HaveSuffix(" leader"), ContainSubstring(" servers ")), name)
		}
	})
}

// Start is what the manager calls; the bubble fails the test if a goroutine outlives it.
func TestWatcherEndsWithTheManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := newFakeServers()
		w := NewWatcher(s.dial, func(types.NamespacedName) {}, logr.Discard())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Start(ctx) }()
		for i := range 5 {
			w.Follow(types.NamespacedName{Name: fmt.Sprint(i)}, server("s1"), addresses(3))
		}
		time.Sleep(time.Minute)
		cancel()
		g.Expect(<-done).To(Succeed())
		w.Follow(cluster, server("s1"), addresses(3))
		synctest.Wait()
		g.Expect(slices.Contains(s.since(0), "s2 leader")).To(BeTrue())
		before := s.count()
		time.Sleep(time.Hour)
		g.Expect(s.count()).To(Equal(before))
		w.Close()
	})
}
