package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/await"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

const (
	startLimit  = 5 * time.Minute
	settle      = 4 * time.Second
	steady      = 20 * time.Second // of the same load before the upgrade, in which processor time is counted
	clusterName = "consul"
)

type createFunc func(ctx context.Context, s *harness.Scene, replicas int, version string) error

// variant is a way to upgrade.
type variant struct {
	letter, by, how string
	// create makes a cluster of the version, upgrade sets it on its way to another.
	create  createFunc
	upgrade func(ctx context.Context, s *harness.Scene, version string) error
}

var variants = []variant{
	{"a", "operator", "maxSurge 1", createWithOperator(1, asOpenAsAStatefulSet), upgradeWithOperator},
	{"b", "operator", "maxSurge 3", createWithOperator(3, asOpenAsAStatefulSet), upgradeWithOperator},
	{"c", "StatefulSet", "SIGTERM without leave", createStatefulSet(false), upgradeStatefulSet},
	{"d", "StatefulSet", "leave_on_terminate", createStatefulSet(true), upgradeStatefulSet},
	{"e", "operator", "maxSurge 1, TLS and ACLs", createWithOperator(1, asByDefault), upgradeWithOperator},
}

// result is what a variant's upgrade left behind.
type result struct {
	variant
	harness.Outcome
	took time.Duration
	// cores is how many processors all servers together kept busy before the upgrade.
	cores float64
}

type bench struct {
	options
	out io.Writer
	env *harness.Env
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.out, "      "+format+"\n", args...) }

func (b *bench) start(ctx context.Context) error {
	if err := harness.CheckPrograms("consul-"+b.from, "consul-"+b.to); err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\nConsul %s → %s, %s, five ways; a few minutes each\n", b.from, b.to, report.Count(b.replicas, "server"))
	starting, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var err error
	b.env, err = harness.Start(starting, harness.Options{Name: "bench", Progress: func(text string) { b.say("%s", text) }})
	return err
}

func (b *bench) close() {
	if err := b.env.Stop(); err != nil {
		b.say("stopping the local cluster: %v", err)
	}
}

// measure runs one variant from an empty namespace to an empty namespace.
func (b *bench) measure(ctx context.Context, v variant) (result, error) {
	fmt.Fprintf(b.out, "\n(%s) %s, %s\n", v.letter, v.by, v.how)
	namespace := "bench-" + v.letter
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := b.env.Client.Create(ctx, object); err != nil {
		return result{}, err
	}
	s := b.env.Scene(client.ObjectKey{Namespace: namespace, Name: clusterName})
	defer s.Close()
	if err := v.create(ctx, s, b.replicas, b.from); err != nil {
		return result{}, err
	}
	if err := s.Observe(ctx, b.replicas); err != nil {
		return result{}, err
	}
	if err := b.await(ctx, s, b.from, startLimit); err != nil {
		return result{}, err
	}
	b.say("%s of %s serving, %s leads", report.Count(b.replicas, "server"), b.from, s.Observer.Snapshot().Leader)
	r, err := b.upgradeUnderLoad(ctx, v, s)
	if err != nil {
		return r, err
	}
	all := r.Load.All
	b.say("upgraded in %s, %s writes failed, longest gap %s", report.Seconds(r.took), report.Of(all.Failed, all.Attempts()),
		report.Millis(all.Gap.Length()))
	return r, b.remove(ctx, object)
}

func (b *bench) upgradeUnderLoad(ctx context.Context, v variant, s *harness.Scene) (result, error) {
	r := result{variant: v}
	if err := s.StartClients(ctx, harness.Clients{Options: load.Options{Rate: b.rate}}); err != nil {
		return r, err
	}
	if err := await.Sleep(ctx, settle); err != nil {
		return r, err
	}
	var err error
	if r.cores, err = b.busyCores(ctx); err != nil {
		return r, err
	}
	before := s.Observer.Timeline()
	began := time.Now()
	if err := v.upgrade(ctx, s, b.to); err != nil {
		return r, err
	}
	limit := 3*time.Minute + time.Duration(b.replicas)*time.Minute
	if err := b.await(ctx, s, b.to, limit); err != nil {
		return r, err
	}
	r.took = time.Since(began)
	if err := await.Sleep(ctx, settle); err != nil {
		return r, err
	}
	r.Outcome, err = s.End(ctx)
	// Those of the bootstrap are not the upgrade's.
	r.Timeline.LeaderChanges -= before.LeaderChanges
	r.Timeline.Stalls.Count -= before.Stalls.Count
	return r, err
}

// busyCores is how many processors the servers keep busy under the load.
func (b *bench) busyCores(ctx context.Context) (float64, error) {
	before, err := b.env.ConsulCPU()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := await.Sleep(ctx, steady); err != nil {
		return 0, err
	}
	after, err := b.env.ConsulCPU()
	return (after - before).Seconds() / time.Since(began).Seconds(), err
}

// await is the same for all variants: as many servers as wanted, all of the version, all voting and serving.
func (b *bench) await(ctx context.Context, s *harness.Scene, version string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	began, before := time.Now(), s.Observer.Snapshot()
	for {
		now := s.Observer.Snapshot()
		if changes := now.Changes(before); len(changes) > 0 {
			b.say("%4.0f s  %s", time.Since(began).Seconds(), strings.Join(changes, ", "))
		}
		unwanted := now.Unwanted(b.replicas, version)
		if len(unwanted) == 0 {
			return nil
		}
		before = now
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("not there after %s: %s; logs are in %s", limit, strings.Join(unwanted, ", "), b.env.Dir)
			}
			return ctx.Err()
		case <-b.env.OperatorCrashed():
			return fmt.Errorf("the operator ended unexpectedly, see %s", b.env.OperatorLog())
		case <-ticker.C:
		}
	}
}

// remove waits until nothing is left: the next variant is to have the machine for itself.
func (b *bench) remove(ctx context.Context, namespace *corev1.Namespace) error {
	err := b.env.Client.DeleteAllOf(ctx, &v1alpha1.ConsulCluster{}, client.InNamespace(namespace.Name))
	if err := errors.Join(err, b.env.Client.Delete(ctx, namespace)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return await.Success(ctx, 200*time.Millisecond, func() error {
		err := b.env.Client.Get(ctx, client.ObjectKeyFromObject(namespace), namespace)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("namespace %s is not gone", namespace.Name))
	})
}

func createWithOperator(surge int32, secured func(*v1alpha1.ConsulClusterSpec)) createFunc {
	return func(ctx context.Context, s *harness.Scene, replicas int, version string) error {
		cluster, err := harness.Sample()
		if err != nil {
			return err
		}
		cluster.Namespace, cluster.Name = s.Key.Namespace, s.Key.Name
		cluster.Spec.Version = version
		cluster.Spec.Replicas = int32(replicas) //nolint:gosec // the API server checks it
		cluster.Spec.Update.MaxSurge = surge
		secured(&cluster.Spec)
		if err := s.Create(ctx, cluster); err != nil {
			return err
		}
		return s.WaitReady(ctx, startLimit, func(string) {}) // how servers are called is known then
	}
}

// asOpenAsAStatefulSet leaves out what the StatefulSets have not either.
func asOpenAsAStatefulSet(spec *v1alpha1.ConsulClusterSpec) {
	spec.GossipEncryption.Enabled, spec.TLS.Enabled, spec.ACLs.Enabled = new(false), new(false), new(false)
}

func asByDefault(*v1alpha1.ConsulClusterSpec) {}

func upgradeWithOperator(ctx context.Context, s *harness.Scene, version string) error {
	return s.Patch(ctx, func(c *v1alpha1.ConsulCluster) { c.Spec.Version = version })
}
