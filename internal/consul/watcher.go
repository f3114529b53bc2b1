package consul

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
)

// Watcher wakes the operator, without polling, when something happens in an idle cluster. A wake is a hint: the reconcile that
// it triggers may find nothing to do.
//
// It keeps two requests open per cluster, on two servers, since neither reports everything, and so that a hung server silences
// only one of them:
//   - on the leader's agent, a blocking query on the servers in the catalog: a server joined, left, failed or recovered. The
//     connection breaks when that agent dies.
//   - on a follower, the stream of WatchLeader: leadership moved, for whatever reason. A leader that hangs with its connections
//     open (SIGSTOP) reports nothing itself, but its followers miss it and log that.
//
// Nothing reports that a voter has gone bad whom Serf still hears (a full disk, a log that falls behind): autopilot's verdicts
// are asked for each 50 to 55 s.
//
// Measured, from the cause to the wake: leadership transferred 0.1 s, a leader killed at once, a leader hung 1.1 to 2.5 s, a
// server joined 0.5 s, a follower killed 3.5 to 5.6 s, which is how long Serf takes to be sure.
//
// An idle cluster of any size costs less than two calls a minute: the verdicts, and every 10 minutes the blocking query again and
// a check that the leader still leads, in case a line of the stream was lost. If ACLs deny the stream, the query waits 4 minutes
// and the leader is checked each time.
//
// It wakes a cluster at most twice a second. It also wakes it when a request is open, because something may have changed since
// the last observation, and once when a request breaks, which is then reopened with growing pauses.
type Watcher struct {
	dial Dialer
	wake func(types.NamespacedName)
	log  logr.Logger

	ctx    context.Context // the life of the Watcher, which Close ends
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	follows map[types.NamespacedName]*follow
}

// NewWatcher returns a Watcher that follows no cluster yet. It calls wake from its own goroutines; wake may call the Watcher.
func NewWatcher(dial Dialer, wake func(cluster types.NamespacedName), log logr.Logger) *Watcher {
	ctx, cancel := context.WithCancel(context.Background())
	return &Watcher{
		dial: dial, wake: wake, log: log, ctx: ctx, cancel: cancel,
		follows: map[types.NamespacedName]*follow{},
	}
}

// Follow watches a cluster from now on: the leader, and all servers. The same targets again change nothing; others replace
// the watch. Without the address of a leader there is nothing to follow, and no cluster is idle.
func (w *Watcher) Follow(cluster types.NamespacedName, leader Target, servers []Target) {
	if leader.Address == "" {
		w.Forget(cluster)
		return
	}
	servers = slices.Compact(slices.SortedFunc(slices.Values(servers), byAddress))
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return
	}
	old := w.follows[cluster]
	if old != nil && old.leader == leader && slices.Equal(old.servers, servers) {
		return
	}
	f := &follow{
		leader: leader, servers: servers, dial: w.dial, group: &w.wg, log: w.log.WithValues("cluster", cluster),
	}
	if old != nil { // keep the bell, or a change of addresses would bypass the limit of wakes
		old.leave()
		f.bell = old.bell
	} else {
		f.bell = &bell{wake: func() { w.wake(cluster) }}
	}
	f.streaming.Store(true) // it most likely will be soon
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(w.ctx)
	w.follows[cluster] = f
	w.wg.Go(func() { f.watchServers(ctx) })
	w.wg.Go(func() { f.watchLeader(ctx) })
	w.askHealthLater(ctx, f)
}

// askHealthLater asks for autopilot's verdicts again and again until ctx is done. In between a timer waits, not a goroutine. The
// lock of the Watcher is held.
func (w *Watcher) askHealthLater(ctx context.Context, f *follow) {
	f.timer = time.AfterFunc(wait.Jitter(healthEvery, 0.1), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if ctx.Err() != nil { // Close may wait already
			return
		}
		w.wg.Go(func() {
			f.askHealth(ctx)
			w.mu.Lock()
			defer w.mu.Unlock()
			if ctx.Err() == nil {
				w.askHealthLater(ctx, f)
			}
		})
	})
}

func byAddress(a, b Target) int { return cmp.Compare(a.Address, b.Address) }

// Forget ends the watch of a cluster. A wake that is under way may still come.
func (w *Watcher) Forget(cluster types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.follows[cluster]; f != nil {
		f.end()
		delete(w.follows, cluster)
	}
}

// Start makes a Watcher a manager.Runnable: it ends all watches when ctx is done. Follow does not wait for it.
func (w *Watcher) Start(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-w.ctx.Done():
	}
	w.Close()
	return nil
}

// Close ends all watches and waits until they have ended. Afterwards Follow does nothing.
func (w *Watcher) Close() {
	w.cancel()
	w.mu.Lock()
	for cluster, f := range w.follows {
		f.end()
		delete(w.follows, cluster)
	}
	w.mu.Unlock()
	w.wg.Wait()
}
