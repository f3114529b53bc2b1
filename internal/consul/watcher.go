package consul

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
)

// Watcher wakes the operator when something happens in a cluster where nothing was going on, without polling. A wake
// is a hint: whoever is woken looks again, and may find nothing.
//
// It holds two requests open per cluster, on two servers, since neither tells all, and so that one hung server
// silences only one of them:
//   - on the leader's agent a blocking query on the servers in the catalog: one joined, left, failed, recovered. The
//     connection breaks when that agent dies.
//   - on a follower the stream of WatchLeader: leadership moved, for whatever reason. A leader that hangs with its
//     connections open (SIGSTOP) says nothing itself; its followers miss it and say so.
//
// Measured, from the cause to the wake: leadership transferred 0.1 s, a leader killed at once, a leader hung 1.1 to
// 2.5 s, a server joined 0.5 s, a follower killed 3.5 to 5.6 s, which is how long Serf takes to be sure.
//
// An idle cluster of any size costs three calls for the start, and two each 10 minutes: the blocking query again, and
// one question to the leader whether it still is, in case a line of the stream was lost. That is 15 in the first hour.
// Where ACLs refuse the stream, the query waits 3 minutes and the leader is asked each time: 0.8 calls a minute.
//
// It wakes at most twice a second per cluster. It wakes also when a request was opened, because a change may have
// happened since the operator looked, and when one breaks, once: then it is opened again with growing pauses.
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

// NewWatcher returns a Watcher that follows no cluster yet. wake is called from goroutines of the Watcher, and may call
// it back.
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
		leader: leader, servers: servers, dial: w.dial, log: w.log.WithValues("cluster", cluster),
	}
	if old != nil { // the same bell, or a change of addresses would get around the limit of wakes
		old.cancel()
		f.bell = old.bell
	} else {
		f.bell = &bell{wake: func() { w.wake(cluster) }}
	}
	f.streaming.Store(true) // very likely, and soon
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(w.ctx)
	w.follows[cluster] = f
	w.wg.Go(func() { f.watchServers(ctx) })
	w.wg.Go(func() { f.watchLeader(ctx) })
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

// Close ends all watches and returns when they have ended. Follow does nothing afterwards.
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
