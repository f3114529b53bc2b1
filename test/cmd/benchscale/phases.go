package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/await"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

const (
	// versions are those between which clusters are upgraded.
	oldVersion, newVersion = "1.22.0", "1.22.7"
	// creators is how many clusters are created at once, and touchEvery the time between two that are only touched.
	creators   = 8
	touchEvery = 50 * time.Millisecond
)

func (b *bench) createAll(ctx context.Context) error {
	sample, err := harness.Sample()
	if err != nil {
		return err
	}
	sample.Namespace, sample.Spec.Version = namespace, oldVersion
	sample.Spec.Replicas = int32(b.servers) //nolint:gosec // the API server checks it
	sample.Spec.Update.LeaderStableFor = &metav1.Duration{Duration: v1alpha1.DefaultLeaderStableFor / time.Duration(b.pace)}
	if b.open {
		sample.Spec.TLS.Enabled, sample.Spec.ACLs.Enabled = new(false), new(false)
	}
	began := time.Now()
	next := make(chan int)
	errs := make(chan error, creators)
	var group sync.WaitGroup
	for range creators {
		group.Go(func() {
			for i := range next {
				one := sample.DeepCopy()
				one.Name = clusterName(i)
				if err := b.world.client.Create(ctx, one); err != nil && len(errs) == 0 {
					errs <- err
				}
			}
		})
	}
	for i := range b.clusters {
		next <- i
	}
	close(next)
	group.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	if err := b.settled(ctx); err != nil {
		return err
	}
	p, err := readProcess(b.env.OperatorPID())
	b.results.created, b.results.afterCreation = time.Since(began), p
	b.say("settled after %s, the operator computed for %s and had %s at most", report.Seconds(time.Since(began)),
		report.Seconds(p.cpu), megabytes(p.peak))
	return err
}

func (b *bench) doNothing(ctx context.Context) error {
	if err := b.quiet(ctx); err != nil {
		return err
	}
	before, err := b.count(ctx)
	if err != nil {
		return err
	}
	if err := await.Sleep(ctx, b.idle); err != nil {
		return err
	}
	after, err := b.count(ctx)
	if err != nil {
		return err
	}
	b.results.idle, b.results.idleFor = after.since(before), after.at.Sub(before.at)
	idle := b.results.idle
	b.say("%s, %s, %s of memory, %s of it heap and %s stacks", report.Count(idle.apiWrites, "API write"),
		report.Count(idle.calls, "agent call"), megabytes(idle.process.rss), megabytes(idle.heap), megabytes(idle.stacks))
	for what, number := range idle.writes {
		if number > 0 {
			b.say("  %s: %d, those of this program included", what, number)
		}
	}
	return b.keepProfile(ctx, "heap-idle", "heap?gc=1")
}

// reconcileIdle makes the operator look at each cluster once, at a steady rate.
func (b *bench) reconcileIdle(ctx context.Context) error {
	before, err := b.count(ctx)
	if err != nil {
		return err
	}
	err = b.whileProfiled(ctx, "cpu-reconciles", func() error {
		for _, c := range b.world.all() {
			touch := fmt.Appendf(nil, `{"metadata": {"annotations": {"benchscale/touched": %q}}}`, time.Now().Format(time.RFC3339Nano))
			if err := b.world.client.Patch(ctx, c.bare(), client.RawPatch(types.MergePatchType, touch)); err != nil {
				return err
			}
			if err := await.Sleep(ctx, touchEvery); err != nil {
				return err
			}
		}
		return b.idleQueue(ctx)
	})
	if err != nil {
		return err
	}
	after, err := b.count(ctx)
	b.results.touched = after.since(before)
	b.say("%s, %s in 99 %% of them, %s", report.Count(int(b.results.touched.reconciles.count()), "reconcile"),
		report.Millis(b.results.touched.reconciles.atMost(0.99)), report.Count(b.results.touched.apiWrites, "API write"))
	return err
}

func (b *bench) restart(ctx context.Context) error {
	b.env.KillOperator()
	if err := b.all(ctx, "not followed", func(c *cluster) bool { return !c.isWatched() }); err != nil {
		return err
	}
	began := time.Now()
	if err := b.env.StartOperator(); err != nil {
		return err
	}
	if err := b.settled(ctx); err != nil {
		return err
	}
	b.results.restarted = time.Since(began)
	after, err := b.count(ctx)
	if err != nil {
		return err
	}
	b.results.afterRestart = after
	b.say("settled after %s, with %s of CPU, %s and %s", report.Seconds(b.results.restarted), report.Seconds(after.process.cpu),
		report.Count(int(after.reconciles.count()), "reconcile"), report.Count(after.operatorWrites, "API write"))
	return b.keepProfile(ctx, "heap-restart", "heap?gc=1")
}

// react changes one cluster after the other and measures how long the operator takes until it does something about it, while
// others hang and while none does.
func (b *bench) react(ctx context.Context) error {
	all := b.world.all()
	hung := all[:max(1, len(all)*b.hung/100)]
	healthy := all[len(hung):]
	samples := min(b.samples, len(healthy))
	for turn := range b.turns { // so that both see the same machine
		without, err := b.change(ctx, healthy, turn*2*samples, samples/b.turns)
		if err != nil {
			return err
		}
		if err := b.settled(ctx); err != nil {
			return err
		}
		for _, c := range hung {
			c.hang(true)
		}
		if err := b.await(ctx, hung, "known to hang", func(c *cluster) bool { return !c.isReady() }); err != nil {
			return err
		}
		var with []time.Duration
		err = b.whileProfiled(ctx, fmt.Sprintf("cpu-hung-%d", turn+1), func() (err error) {
			with, err = b.change(ctx, healthy, (turn*2+1)*samples, samples/b.turns)
			return err
		})
		if err != nil {
			return err
		}
		for _, c := range hung {
			c.hang(false)
		}
		if err := b.settled(ctx); err != nil {
			return err
		}
		b.results.without = append(b.results.without, without...)
		b.results.with = append(b.results.with, with...)
	}
	return nil
}

// change upgrades a number of clusters, or takes them back, one as soon as the operator has done something about the last one.
func (b *bench) change(ctx context.Context, clusters []*cluster, from, number int) (took []time.Duration, err error) {
	if err := b.await(ctx, clusters, "Ready", (*cluster).isReady); err != nil {
		return nil, err
	}
	for i := range max(1, number) {
		d, err := b.firstStep(ctx, clusters[(from+i)%len(clusters)])
		if err != nil {
			return nil, err
		}
		took = append(took, d)
	}
	slices.Sort(took)
	b.say("%s: %s at the median, %s at most", report.Count(len(took), "change"), report.Millis(quantile(took, 0.5)),
		report.Millis(took[len(took)-1]))
	return took, nil
}

// firstStep upgrades a cluster, or takes it back, and returns the time until the operator has created a volume claim.
func (b *bench) firstStep(ctx context.Context, c *cluster) (time.Duration, error) {
	asked := time.Now()
	if err := b.changeVersion(ctx, c); err != nil {
		return 0, err
	}
	accepted := time.Now()
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	for {
		if at, is := c.createdSince(asked); is {
			return max(0, at.Sub(accepted)), nil
		}
		if err := await.Sleep(ctx, time.Millisecond); err != nil {
			return 0, fmt.Errorf("nothing is done about %s (%w)", c.current().Name, err)
		}
	}
}

func (b *bench) changeVersion(ctx context.Context, c *cluster) error {
	one := c.current()
	before := one.DeepCopy()
	one.Spec.Version = newVersion
	if before.Spec.Version == newVersion {
		one.Spec.Version = oldVersion
	}
	return b.world.client.Patch(ctx, one, client.MergeFrom(before))
}

func (b *bench) upgradeOne(ctx context.Context) error {
	c := b.world.all()[0]
	if err := b.quiet(ctx); err != nil {
		return err
	}
	before, err := b.count(ctx)
	if err != nil {
		return err
	}
	if err := b.changeVersion(ctx, c); err != nil {
		return err
	}
	if err := b.await(ctx, []*cluster{c}, "upgrading", func(c *cluster) bool { return !c.isReady() }); err != nil {
		return err
	}
	if err := errors.Join(b.settled(ctx), b.quiet(ctx)); err != nil {
		return err
	}
	after, err := b.count(ctx)
	if err != nil {
		return err
	}
	b.results.upgrade, b.results.upgradeFor = after.since(before), after.at.Sub(before.at)
	b.say("done in %s", report.Seconds(b.results.upgradeFor))
	return nil
}

// quantile of durations in ascending order.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func (c *cluster) current() *v1alpha1.ConsulCluster {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.object.DeepCopy()
}

// bare is the ConsulCluster's name alone.
func (c *cluster) bare() *v1alpha1.ConsulCluster {
	one := c.current()
	return &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{Namespace: one.Namespace, Name: one.Name}}
}
