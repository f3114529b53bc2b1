package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/await"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

const (
	startLimit = 5 * time.Minute
	// readyLimit is for how long the cluster may take to recover when the faults are over. A server that was killed again
	// and again is started anew only after a back-off of five minutes, and an upgrade may be due after that.
	readyLimit = 10 * time.Minute
	readLimit  = time.Minute
	// untrueLimit is how long the observer and the operator may need to see the same.
	untrueLimit = 10 * time.Second
	heartbeat   = 10 * time.Second
	// readSecretsEvery is how often clients read whom to believe, and the management token.
	readSecretsEvery = time.Second
)

// chaos is one run.
type chaos struct {
	options options
	out     io.Writer
	log     *os.File

	*harness.Scene
	lines   *lines
	clients *clients
	faults  *faults
	secrets secrets
}

// run returns an error if anything is not as it has to be.
func run(ctx context.Context, o options, out io.Writer) error {
	fmt.Fprintf(out, "Chaos for %s, seed %d\n\n", o.duration, o.seed)
	c := &chaos{options: o, out: out, secrets: secrets{all: map[string]string{}}}
	defer c.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := c.start(ctx); err != nil {
		return err
	}
	r, err := c.rage(ctx)
	if err != nil {
		return fmt.Errorf("%w\nseed %d; logs in %s", err, o.seed, c.Dir)
	}
	if err := c.keep(r); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "\n%s\n", r.text())
	return r.verdict()
}

func (c *chaos) say(text string) { fmt.Fprintf(c.out, "      %s\n", text) }

func (c *chaos) start(ctx context.Context) error {
	if err := harness.CheckPrograms("consul-"+versions[0], "consul-"+versions[1], "consul-operator"); err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var err error
	if c.Scene, err = harness.Open(starting, harness.Options{
		Name: "chaos", Progress: c.say, Kubeconfig: c.options.nodes, WithoutOperator: true,
	}); err != nil {
		return err
	}
	c.say("logs are in " + c.Dir)
	// What is printed is kept beside the logs: when a fault was injected is what one asks first.
	if c.log, err = os.Create(filepath.Join(c.Dir, "chaos.log")); err != nil {
		return err
	}
	c.out = io.MultiWriter(c.out, c.log)
	if c.lines, err = openLines(c.Scene); err != nil {
		return err
	}
	if c.Operator, err = c.lines.operator(c.Kubeconfig()); err != nil {
		return err
	}
	if err := c.StartOperator(); err != nil {
		return err
	}
	spec := initialSpec(c.options.seed)
	cluster := spec.newCluster("consul")
	c.say(fmt.Sprintf("servers are updated with update.type %s", cluster.Spec.Update.Type))
	c.Key = client.ObjectKeyFromObject(cluster)
	if cluster.Spec.Snapshots, err = c.prepareBackups(ctx); err != nil {
		return err
	}
	if err := c.Create(ctx, cluster); err != nil {
		return err
	}
	if err := c.WaitReady(ctx, startLimit, c.say); err != nil {
		return err
	}
	return c.watchAndLoad(ctx)
}

// watchAndLoad starts two loads: one through the client Service as applications have it, with a new key every now and
// then, and one that contends for a few keys on all servers.
func (c *chaos) watchAndLoad(ctx context.Context) error {
	if err := c.Observe(ctx, initialSpec(c.options.seed).fewestVoters()); err != nil {
		return err
	}
	access, err := c.Access(ctx)
	if err != nil {
		return err
	}
	all := everyServer{c.Observer, access}
	if err := c.StartClients(ctx, harness.Clients{Options: load.Options{Writers: 2, Rate: 40}, LockAt: all}); err != nil {
		return err
	}
	c.clients, err = startClients(ctx, all, access, c.options.seed)
	go c.readSecrets(ctx)
	return err
}

// readSecrets has clients follow the rotations. They go on with what they have while the API server does not answer.
func (c *chaos) readSecrets(ctx context.Context) {
	for await.Sleep(ctx, readSecretsEvery) == nil {
		_ = c.Believe(ctx)
		_ = c.Authenticate(ctx)
		_ = c.secrets.add(ctx, c.Scene)
	}
}

func (c *chaos) close() {
	if c.clients != nil {
		c.clients.finish()
	}
	if c.Scene != nil {
		if err := c.Close(); err != nil {
			fmt.Fprintln(c.out, "stopping the local cluster:", err)
		}
	}
	if c.lines != nil {
		c.lines.close()
	}
	if c.log != nil {
		_ = c.log.Close()
	}
}

// rage injects faults, lets the cluster recover, and finds out what became of it.
func (c *chaos) rage(ctx context.Context) (*findings, error) {
	c.faults = newFaults(c.Scene, c.lines, c.clients.history, c.options.seed, c.out)
	if c.options.nodes != "" {
		c.faults.onNodes()
	}
	beating, stopBeating := context.WithCancel(ctx)
	defer stopBeating()
	go c.beat(beating)

	err := c.faults.saveFirst(ctx)
	if err == nil {
		raging, cancel := context.WithTimeout(ctx, c.options.duration)
		err = c.faults.run(raging)
		cancel()
	}
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
func (c *chaos) recover(ctx context.Context, stopBeating func()) (*findings, error) {
	r := &findings{options: c.options, dir: c.Dir, counts: c.faults.counts}
	c.faults.say("no more faults")
	ended := time.Now()
	if r.unwanted, r.notReady = c.awaitWanted(ctx, readyLimit); r.reached() {
		r.recovery = time.Since(ended)
		c.faults.say("Ready")
	}
	stopBeating()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	c.clients.finish()
	c.Load.Stop()
	r.backups = c.faults.backups
	c.readBack(ctx, r)
	if r.reached() && r.unreadable == nil {
		if err := c.epilogue(ctx, r); err != nil {
			return nil, err
		}
	}
	r.leaked, r.unsearched = c.secrets.found(ctx, c.Scene)
	var err error
	if r.Outcome, err = c.End(ctx); r.unreadable == nil {
		r.unreadable = err
	}
	r.history = c.clients.history
	r.linearity, err = r.history.check(c.Dir)
	return r, err
}

// readBack reads the last value of each key.
func (c *chaos) readBack(ctx context.Context, r *findings) {
	reading, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	if _, r.unreadable = c.Load.Verify(reading); r.unreadable == nil {
		r.unreadable = c.clients.readBack(reading)
	}
}

// epilogue is what happens to a cluster that has recovered from all faults.
func (c *chaos) epilogue(ctx context.Context, r *findings) error {
	if err := c.recoverFromLoss(ctx, r); err != nil {
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

// awaitWanted waits until the cluster is Ready and its servers are as the user wants them: I7. Where it goes on being Ready
// while they are not, it returns in what they differ. Just after a fault, the operator may not have seen yet what happened.
func (c *chaos) awaitWanted(ctx context.Context, limit time.Duration) (unwanted []string, err error) {
	var since time.Time // since when it is Ready, and not as wanted
	err = c.WaitFor(ctx, limit, nil, func(cluster *v1alpha1.ConsulCluster) bool {
		unwanted = append(c.Observer.Snapshot().Unwanted(c.faults.spec.replicas, c.faults.spec.version), c.faults.unwantedNames(ctx)...)
		switch {
		case !harness.IsReady(cluster):
			since = time.Time{}
			return false
		case len(unwanted) == 0:
			return true
		case since.IsZero():
			since = time.Now()
		}
		return time.Since(since) > untrueLimit
	})
	if err != nil {
		return nil, err
	}
	return unwanted, nil
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
			now, h := c.Observer.Snapshot(), c.clients.history
			c.faults.say("| %d ok, %d failed, %d unknown; %d violations; leader %q, %d voters; %s: %s",
				h.count(succeeded), h.count(failed), h.count(unknown), now.Violations, now.Leader, now.Voters,
				now.Reason, now.Message)
		}
	}
}
