package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/localcluster"
	"github.com/consul-operator/consul-operator/test/lib/sim"
	"github.com/consul-operator/consul-operator/test/lib/timed"
)

// world plays all but the operator and the API server: Consul, kubelets, scheduler, volumes and endpoints.
type world struct {
	ctx       context.Context
	client    client.Client
	pace      int // how many times faster than in reality Consul and kubelets are
	addresses localcluster.Addresses
	// writes are those of this program.
	writes atomic.Int64
	// calls are those that the agents got.
	calls atomic.Int64
	// problem is why a write failed last.
	problem atomic.Value
	work    sync.WaitGroup

	mu       sync.Mutex
	clusters map[string]*cluster // by name
}

// cluster is one ConsulCluster, with what surrounds it.
type cluster struct {
	w    *world
	wake chan struct{} // something is to be written

	mu sync.Mutex
	timed.Cluster
	revisions timed.Revisions
	object    *v1alpha1.ConsulCluster
	claims    map[string]*corev1.PersistentVolumeClaim
	pods      map[string]*corev1.Pod
	secrets   map[string]*corev1.Secret
	pair      *tls.Certificate        // of all servers; nil if there is none
	agents    map[string]*http.Server // of the servers that run, by name
	changed   chan struct{}           // closed when the state changes
	alarm     *time.Timer
	// index is that of Consul's catalog, which counts its changes, and catalog what is in it.
	index, catalog uint64
	// hangs is set while the agents accept connections and answer nothing.
	hangs bool
	// shown is what was written last, by object.
	shown map[string]string
	// created is when the last claim was created.
	created time.Time
	// queries and streams are the open requests of the operator's watcher.
	queries, streams int
}

func newWorld(ctx context.Context, config *rest.Config, pace int) (*world, error) {
	w := &world{ctx: ctx, pace: pace, clusters: map[string]*cluster{}}
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return counter{next, &w.writes} })
	var err error
	if w.client, err = client.New(config, client.Options{Scheme: harness.Scheme()}); err != nil {
		return nil, err
	}
	objects, err := cache.New(config, cache.Options{
		Scheme: harness.Scheme(), DefaultTransform: cache.TransformStripManagedFields(),
	})
	if err != nil {
		return nil, err
	}
	for _, kind := range []client.Object{
		&v1alpha1.ConsulCluster{}, &corev1.PersistentVolumeClaim{}, &corev1.Pod{}, &corev1.Secret{},
	} {
		informer, err := objects.GetInformer(ctx, kind)
		if err != nil {
			return nil, err
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { w.wrote(nil, o.(client.Object)) },
			UpdateFunc: func(old, o any) { w.wrote(old.(client.Object), o.(client.Object)) },
			DeleteFunc: w.deleted,
		}); err != nil {
			return nil, err
		}
	}
	w.work.Go(func() { _ = objects.Start(ctx) }) // it ends with the context
	return w, nil
}

// counter counts what is written.
type counter struct {
	next   http.RoundTripper
	writes *atomic.Int64
}

func (c counter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet {
		c.writes.Add(1)
	}
	return c.next.RoundTrip(r)
}

// close ends all agents. The context of the world has to be done.
func (w *world) close() {
	w.work.Wait()
	for _, c := range w.all() {
		c.mu.Lock()
		if c.alarm != nil {
			c.alarm.Stop()
		}
		for _, agent := range c.agents {
			_ = agent.Close()
		}
		c.mu.Unlock()
	}
	w.addresses.Release()
}

// all clusters, in the order of their names.
func (w *world) all() []*cluster {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*cluster
	for i := range len(w.clusters) {
		if c := w.clusters[clusterName(i)]; c != nil {
			all = append(all, c)
		}
	}
	return all
}

// clusterName is that of the cluster with a number.
func clusterName(i int) string { return fmt.Sprintf("consul-%04d", i) }

// of is the cluster of a name. Informers of other kinds may be ahead of that of ConsulClusters.
func (w *world) of(name string) *cluster {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.clusters[name]
	if c == nil {
		c = newCluster(w)
		w.clusters[name] = c
		w.work.Go(c.write)
	}
	return c
}

func newCluster(w *world) *cluster {
	return &cluster{
		w: w, wake: make(chan struct{}, 1), changed: make(chan struct{}), shown: map[string]string{},
		claims: map[string]*corev1.PersistentVolumeClaim{}, pods: map[string]*corev1.Pod{}, secrets: map[string]*corev1.Secret{},
		agents: map[string]*http.Server{},
	}
}

// wrote takes over what a user or the operator has written.
func (w *world) wrote(old, o client.Object) {
	if cc, is := o.(*v1alpha1.ConsulCluster); is {
		w.of(cc.Name).adopt(cc)
		return
	}
	name := o.GetLabels()[v1alpha1.LabelCluster]
	if name == "" {
		return
	}
	c := w.of(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch o := o.(type) {
	case *corev1.PersistentVolumeClaim:
		if old == nil {
			c.created = time.Now()
		}
		c.claims[o.Name] = o
	case *corev1.Pod:
		c.pods[o.Name] = o
	case *corev1.Secret:
		c.secrets[o.Name] = o
	}
	if c.object == nil {
		return // adopt comes back to it
	}
	c.take(old, o)
}

// adopt takes over what a ConsulCluster says, and what was seen before it.
func (c *cluster) adopt(o *v1alpha1.ConsulCluster) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.object == nil
	if c.object = o; !first {
		c.change(func(*sim.State) { c.Adopt(o, &c.revisions) })
		return
	}
	c.Cluster = timed.New(o.UID, o.Name)
	c.Pace = time.Duration(c.w.pace)
	c.change(func(*sim.State) { c.Adopt(o, &c.revisions) })
	for _, secret := range c.secrets {
		c.take(nil, secret)
	}
	for _, claim := range c.claims {
		c.take(nil, claim)
	}
	for _, pod := range c.pods {
		c.take(nil, pod)
	}
}

func (c *cluster) take(old, o client.Object) {
	switch o := o.(type) {
	case *corev1.PersistentVolumeClaim:
		c.change(func(*sim.State) { c.WroteClaim(o, &c.revisions) })
	case *corev1.Pod:
		if before, _ := old.(*corev1.Pod); before != nil && before.UID == o.UID {
			c.change(func(*sim.State) { c.UpdatedPod(before, o) })
			return
		}
		c.change(func(*sim.State) { c.CreatedPod(o, c.address(), &c.revisions) })
	case *corev1.Secret:
		c.takeSecret(o)
	}
}

// address is one for a new pod.
func (c *cluster) address() string {
	address, err := c.w.addresses.Allocate()
	if err != nil {
		panic(err) // there are millions
	}
	return address
}

// deleted forgets an object. What its end means for a server was clear before, unless it had ended by itself.
func (w *world) deleted(o any) {
	if tombstone, is := o.(toolscache.DeletedFinalStateUnknown); is {
		o = tombstone.Obj
	}
	object := o.(client.Object)
	name := object.GetLabels()[v1alpha1.LabelCluster]
	if name == "" {
		return
	}
	c := w.of(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch object.(type) {
	case *corev1.PersistentVolumeClaim:
		delete(c.claims, object.GetName())
	case *corev1.Pod:
		delete(c.pods, object.GetName())
		c.change(func(*sim.State) { c.DeletedPod(object.GetName()) })
	}
}

// change does something to the state, and what follows from it at once. The lock is held.
func (c *cluster) change(do func(*sim.State)) { c.changeAt(time.Now(), do) }

func (c *cluster) changeAt(at time.Time, do func(*sim.State)) {
	c.Change(at, do)
	if now := c.CatalogIndex(); now != c.catalog {
		c.catalog = now
		c.index++
	}
	c.runAgents()
	close(c.changed)
	c.changed = make(chan struct{})
	c.show()
	if c.alarm != nil {
		c.alarm.Stop()
	}
	if next, is := c.Next(); is {
		c.alarm = time.AfterFunc(time.Until(next.At), func() { c.advance(time.Now()) })
	}
}

// show has written what is not shown yet.
func (c *cluster) show() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// advance lets happen what is due by now.
func (c *cluster) advance(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for next, due := c.Due(now); due; next, due = c.Due(now) {
		c.changeAt(next.At, func(*sim.State) {
			if violation := c.Happen(next); violation != nil {
				panic(violation)
			}
		})
	}
}

// hang makes the agents answer nothing, or answer again.
func (c *cluster) hang(hangs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hangs = hangs
	close(c.changed)
	c.changed = make(chan struct{})
	c.show()
}

// runAgents starts and ends the agents of the servers that run.
func (c *cluster) runAgents() {
	running := map[string]bool{}
	for i := range c.Servers[:c.State.N] {
		server, x := c.Servers[i], c.State.Servers[i]
		if x.Process == sim.Down || server.IP == "" {
			continue
		}
		running[server.Name] = true
		if c.agents[server.Name] == nil {
			c.agents[server.Name] = c.serve(server, x.PodRevision.TLS() != plan.TLSOff)
		}
	}
	for name := range maps.Clone(c.agents) {
		if !running[name] {
			_ = c.agents[name].Close()
			delete(c.agents, name)
		}
	}
}

// serve starts the agent of a server.
func (c *cluster) serve(server timed.Server, hasTLS bool) *http.Server {
	port := resources.PortHTTP
	if hasTLS {
		port = resources.PortHTTPS
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(server.IP, strconv.Itoa(port)))
	if err != nil {
		panic(err) // nobody else has the address
	}
	agent := &http.Server{
		Handler: &agent{c: c, name: server.Name}, ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{GetCertificate: c.certificate, MinVersion: tls.VersionTLS12},
		ErrorLog:  log.New(io.Discard, "", 0), // the operator breaks connections off when it is killed
	}
	go func() { // it ends with Close
		if hasTLS {
			_ = agent.ServeTLS(listener, "", "")
			return
		}
		_ = agent.Serve(listener)
	}()
	return agent
}

// isWatched reports whether the operator has both requests open by which it follows an idle cluster.
func (c *cluster) isWatched() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queries > 0 && c.streams > 0
}

// isReady reports whether the operator calls the newest spec reached.
func (c *cluster) isReady() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.object != nil && harness.IsReady(c.object)
}

// createdSince is when the last claim was created, and whether that was after a time.
func (c *cluster) createdSince(at time.Time) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.created, c.created.After(at)
}
