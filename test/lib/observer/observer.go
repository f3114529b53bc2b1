// Package observer watches a Consul cluster from beside the operator: who leads, who votes, who serves, which server
// comes and which goes. It judges by what Consul's servers and the Kubernetes API say, never by the operator's status,
// and checks the invariants of the design all the time, not only at the end.
package observer

import (
	"context"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/consul-operator/consul-operator/test/lib/load"
)

// Options of an observer.
type Options struct {
	// Wanted is the number of voters that spec.replicas asks for.
	Wanted int
	// Interval between two questions to a server; 100 ms by default.
	Interval time.Duration
	// Access is how servers are called.
	Access load.Access
}

// Observer observes until it is stopped.
type Observer struct {
	options Options
	key     types.NamespacedName
	client  *http.Client
	now     func() time.Time
	cancel  context.CancelFunc
	polls   sync.WaitGroup

	mu      sync.Mutex
	model   *model
	names   map[string]string // node id → server name
	pollers map[string]context.CancelFunc
	status  operatorStatus
	end     time.Time
	idle    *idleWindow
}

// operatorStatus is what the operator says; for display only.
type operatorStatus struct {
	reason, message string
	ready           bool
}

// Start observes the cluster of this name until Stop is called or the context ends.
func Start(ctx context.Context, config *rest.Config, key types.NamespacedName, options Options) (*Observer, error) {
	if options.Interval <= 0 {
		options.Interval = 100 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(ctx)
	o := &Observer{
		options: options, key: key, cancel: cancel, now: time.Now,
		// A leader answers these questions from memory; a second is a hang.
		client: &http.Client{
			Timeout:   time.Second,
			Transport: options.Access.Authenticated(&http.Transport{TLSClientConfig: options.Access.TLS.Clone()}),
		},
		model:   newModel(time.Now(), options.Wanted),
		names:   map[string]string{},
		pollers: map[string]context.CancelFunc{},
	}
	if err := o.watch(ctx, config); err != nil {
		cancel()
		return nil, err
	}
	o.polls.Go(func() { o.tick(ctx) })
	o.polls.Go(func() { o.watchStalls(ctx) })
	return o, nil
}

// tick lets time pass for the model, so that silence is noticed as well.
func (o *Observer) tick(ctx context.Context) {
	ticker := time.NewTicker(o.options.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			o.update(func(m *model, now time.Time) { m.changed(now) })
		}
	}
}

func (o *Observer) update(change func(*model, time.Time)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.end.IsZero() {
		now := o.now()
		o.model.runs(now)
		change(o.model, now)
	}
}

// Stop ends the observation; what was seen stays.
func (o *Observer) Stop() {
	o.mu.Lock()
	if o.end.IsZero() {
		o.end = o.now()
	}
	o.mu.Unlock()
	o.cancel()
	o.polls.Wait()
}

// SetWanted is to be called before spec.replicas is changed, and with one less before servers are updated in place. When
// scaling up, the former number keeps holding until the new one is reached for the first time.
func (o *Observer) SetWanted(n int) {
	o.update(func(m *model, _ time.Time) {
		m.wanted = n
		m.floor = min(m.floor, n)
	})
}

// AllowLeaderChanges makes more than n changes of leadership, counted from now, a violation. Those that perhaps nobody wanted
// do not count, see Timeline.Handovers. A negative number allows any number.
func (o *Observer) AllowLeaderChanges(n int) {
	o.update(func(m *model, _ time.Time) {
		m.allowedChanges, m.changesBefore = n, m.handovers()
	})
}

// SetFaults says whether faults are being injected. While they are, I1, I3 and the number of voters are not asserted.
func (o *Observer) SetFaults(faults bool) {
	o.update(func(m *model, _ time.Time) { m.faults = faults })
}

// Violations of invariants until now.
func (o *Observer) Violations() []Violation { return o.Timeline().Violations }

// Timeline is what was seen until now.
func (o *Observer) Timeline() Timeline {
	o.mu.Lock()
	defer o.mu.Unlock()
	end := o.end
	if end.IsZero() {
		end = o.now()
	}
	return o.model.timeline(end)
}

// Snapshot is how things are now.
func (o *Observer) Snapshot() Snapshot {
	o.mu.Lock()
	defer o.mu.Unlock()
	snapshot := o.model.snapshot(o.now())
	snapshot.Reason, snapshot.Message, snapshot.Ready = o.status.reason, o.status.message, o.status.ready
	return snapshot
}

// follow starts and ends the questions to a pod's Consul.
func (o *Observer) follow(ctx context.Context, name string, pod *corev1.Pod, gone bool) {
	uid := string(pod.UID)
	o.mu.Lock()
	defer o.mu.Unlock()
	stop, running := o.pollers[uid]
	switch {
	case gone && running:
		stop()
		delete(o.pollers, uid)
	case !gone && !running && pod.Status.PodIP != "":
		ctx, cancel := context.WithCancel(ctx)
		o.pollers[uid] = cancel
		p := &poller{observer: o, name: name, uid: uid, address: pod.Status.PodIP}
		o.polls.Go(func() { p.run(ctx) })
	}
}
