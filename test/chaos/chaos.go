package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/test/harness"
	"github.com/consul-operator/consul-operator/test/load"
	"github.com/consul-operator/consul-operator/test/observer"
)

const (
	startLimit = 5 * time.Minute
	// readyLimit is for how long the cluster may take to recover when the faults are over. A server that was killed again
	// and again is started anew only after a back-off of five minutes, and an upgrade may be due after that.
	readyLimit = 10 * time.Minute
	readLimit  = time.Minute
	// observerLimit is how long the observer may need to see what the operator saw.
	observerLimit = 10 * time.Second
	heartbeat     = 10 * time.Second
)

// chaos is one run.
type chaos struct {
	options options
	out     io.Writer
	log     *os.File

	env      *harness.Env
	key      types.NamespacedName
	observer *observer.Observer
	load     *load.Load
	lock     *load.Lock
	clients  *clients
	faults   *faults
}

// run returns an error if anything is not as it has to be.
func run(ctx context.Context, o options, out io.Writer) error {
	klog.SetLogger(logr.Discard()) // The client libraries complain about a cluster that is being stopped.
	fmt.Fprintf(out, "Chaos for %s, seed %d\n\n", o.duration, o.seed)
	c := &chaos{options: o, out: out}
	defer c.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := c.start(ctx); err != nil {
		return err
	}
	r, err := c.rage(ctx)
	if err != nil {
		return fmt.Errorf("%w\nseed %d; logs in %s", err, o.seed, c.env.Dir)
	}
	if err := c.keep(r); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "\n%s\n", r.text())
	return r.verdict()
}

func (c *chaos) say(text string) { fmt.Fprintf(c.out, "      %s\n", text) }

func (c *chaos) start(ctx context.Context) error {
	if err := harness.CheckPrograms("consul-"+versions[0], "consul-"+versions[1]); err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var err error
	if c.env, err = harness.Start(starting, harness.Options{
		Name: "chaos", Progress: c.say, Kubeconfig: c.options.nodes,
	}); err != nil {
		return err
	}
	c.say("logs are in " + c.env.Dir)
	// What is printed is kept beside the logs: when a fault was injected is what one asks first.
	if c.log, err = os.Create(filepath.Join(c.env.Dir, "chaos.log")); err != nil {
		return err
	}
	c.out = io.MultiWriter(c.out, c.log)
	spec := initialSpec(c.options.seed)
	cluster := spec.newCluster("consul")
	c.say(fmt.Sprintf("servers are updated with update.type %s", cluster.Spec.Update.Type))
	c.key = client.ObjectKeyFromObject(cluster)
	if err := c.env.Client.Create(ctx, cluster); err != nil {
		return err
	}
	if err := c.env.WaitReady(ctx, c.key, startLimit, c.say); err != nil {
		return err
	}
	return c.watchAndLoad(ctx)
}

// watchAndLoad starts two loads: one through the client Service as applications have it, with a new key every now and
// then, and one that contends for a few keys on all servers.
func (c *chaos) watchAndLoad(ctx context.Context) error {
	var err error
	c.observer, err = observer.Start(ctx, c.env.Config, c.key, observer.Options{Wanted: initialSpec(c.options.seed).fewestVoters()})
	if err != nil {
		return err
	}
	endpoints, err := load.WatchService(ctx, c.env.Config, c.key.Namespace, c.key.Name, "http")
	if err != nil {
		return err
	}
	c.load = load.Start(ctx, endpoints, load.Options{Writers: 2, Rate: 40})
	if c.lock, err = load.TakeLock(ctx, everyServer{c.observer}, c.key.Name); err != nil {
		return err
	}
	c.clients, err = startClients(ctx, everyServer{c.observer}, c.options.seed)
	return err
}

func (c *chaos) close() {
	if c.clients != nil {
		c.clients.finish()
	}
	if c.load != nil {
		c.load.Stop()
	}
	if c.lock != nil {
		c.lock.Stop()
	}
	if c.observer != nil {
		c.observer.Stop()
	}
	if c.env != nil {
		if err := c.env.Stop(); err != nil {
			fmt.Fprintln(c.out, "stopping the local cluster:", err)
		}
	}
	if c.log != nil {
		_ = c.log.Close()
	}
}

// rage injects faults, lets the cluster recover, and finds out what became of it.
func (c *chaos) rage(ctx context.Context) (*report, error) {
	c.faults = newFaults(c.env, c.key, c.observer, c.options.seed, c.out)
	if c.options.nodes != "" {
		c.faults.onNodes()
	}
	beating, stopBeating := context.WithCancel(ctx)
	defer stopBeating()
	go c.beat(beating)

	raging, cancel := context.WithTimeout(ctx, c.options.duration)
	err := c.faults.run(raging)
	cancel()
	// What stands still goes on whatever happened, or it could not be stopped in an orderly way.
	if endErr := c.faults.end(); err == nil {
		err = endErr
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return c.recover(ctx, stopBeating)
}

// recover waits until all is as wanted, and looks closely at what there is then. A cluster that does not recover is
// judged all the same.
func (c *chaos) recover(ctx context.Context, stopBeating func()) (*report, error) {
	r := &report{options: c.options, dir: c.env.Dir, counts: c.faults.counts}
	c.faults.say("no more faults")
	ended := time.Now()
	if r.notReady = c.env.WaitReady(ctx, c.key, readyLimit, nil); r.notReady == nil {
		r.recovery = time.Since(ended)
		c.faults.say("Ready")
		r.unwanted = c.awaitWanted(ctx)
	}
	stopBeating()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	c.clients.finish()
	r.load = c.load.Stop()
	c.readBack(ctx, r)
	if r.notReady == nil && r.unreadable == nil {
		if err := c.epilogue(ctx, r); err != nil {
			return nil, err
		}
	}
	r.lockLost = c.lock.Check(ctx)
	c.observer.Stop()
	r.timeline = c.observer.Timeline()
	r.history = c.clients.history
	var err error
	r.linearity, err = r.history.check(c.env.Dir)
	return r, err
}

// readBack reads the last value of each key.
func (c *chaos) readBack(ctx context.Context, r *report) {
	reading, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	if r.verified, r.unreadable = c.load.Verify(reading); r.unreadable == nil {
		r.unreadable = c.clients.readBack(reading)
	}
}

// epilogue is what happens to a cluster that has recovered from all faults.
func (c *chaos) epilogue(ctx context.Context, r *report) error {
	if err := c.loseQuorum(ctx, r); err != nil {
		return err
	}
	if r.notRecovered != nil {
		return nil
	}
	if c.readBack(ctx, r); r.unreadable != nil {
		return nil
	}
	c.faults.say("a new operator, and then nothing to do")
	return c.rest(ctx, r)
}

// awaitWanted gives the observer time to see what the operator has seen, and returns the differences that stay.
func (c *chaos) awaitWanted(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, observerLimit)
	defer cancel()
	for {
		unwanted := c.compare()
		if len(unwanted) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return unwanted
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// compare says in what the servers differ from what the user wants, by what the observer sees: I7.
func (c *chaos) compare() []string {
	var unwanted []string
	wanted, now := c.faults.spec, c.observer.Snapshot()
	serving := 0
	for _, s := range now.Servers {
		switch {
		case s.State == observer.Gone:
			continue
		case s.State != observer.Serving || s.Version != wanted.version:
			unwanted = append(unwanted, fmt.Sprintf("%s is %s and runs %s", s.Name, s.State, s.Version))
		}
		serving++
	}
	if serving != wanted.replicas || now.Voters != wanted.replicas {
		unwanted = append(unwanted, fmt.Sprintf("%d servers and %d voters, %d are wanted", serving, now.Voters, wanted.replicas))
	}
	return unwanted
}

// beat prints a line now and then.
func (c *chaos) beat(ctx context.Context) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			now, h := c.observer.Snapshot(), c.clients.history
			c.faults.say("| %d ok, %d failed, %d unknown; %d violations; leader %q, %d voters; %s: %s",
				h.count(succeeded), h.count(failed), h.count(unknown), now.Violations, now.Leader, now.Voters,
				now.Reason, now.Message)
		}
	}
}
