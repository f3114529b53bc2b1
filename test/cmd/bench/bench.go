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
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/observer"
)

const (
	startLimit  = 5 * time.Minute
	settle      = 4 * time.Second
	clusterName = "consul"
)

// variant is a way to upgrade.
type variant struct {
	letter, by, how string
	// create makes a cluster of the version, upgrade sets it on its way to another.
	create  func(ctx context.Context, b *bench, namespace, version string) error
	upgrade func(ctx context.Context, b *bench, namespace, version string) error
}

var variants = []variant{
	{"a", "operator", "maxSurge 1", createWithOperator(1), upgradeWithOperator},
	{"b", "operator", "maxSurge 3", createWithOperator(3), upgradeWithOperator},
	{"c", "StatefulSet", "SIGTERM without leave", createStatefulSet(false), upgradeStatefulSet},
	{"d", "StatefulSet", "leave_on_terminate", createStatefulSet(true), upgradeStatefulSet},
}

// result is what a variant's upgrade left behind.
type result struct {
	variant
	took     time.Duration
	load     load.Result
	verified load.Verification
	timeline observer.Timeline
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
	fmt.Fprintf(b.out, "\nConsul %s → %s, %s, four ways; a few minutes each\n", b.from, b.to, harness.Count(b.replicas, "server"))
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
	watcher, err := observer.Start(ctx, b.env.Config, types.NamespacedName{Namespace: namespace, Name: clusterName},
		observer.Options{Wanted: b.replicas})
	if err != nil {
		return result{}, err
	}
	defer watcher.Stop()
	if err := v.create(ctx, b, namespace, b.from); err != nil {
		return result{}, err
	}
	if err := b.await(ctx, watcher, b.from, startLimit); err != nil {
		return result{}, err
	}
	b.say("%s of %s serving, %s leads", harness.Count(b.replicas, "server"), b.from, watcher.Snapshot().Leader)
	r, err := b.upgradeUnderLoad(ctx, v, namespace, watcher)
	if err != nil {
		return r, err
	}
	b.say("upgraded in %s, %s of %s writes failed, longest gap %s", harness.Seconds(r.took),
		harness.Number(r.load.All.Failed), harness.Number(r.load.All.Attempts()), harness.Millis(r.load.All.Gap.Length()))
	return r, b.remove(ctx, object)
}

func (b *bench) upgradeUnderLoad(ctx context.Context, v variant, namespace string, watcher *observer.Observer) (result, error) {
	r := result{variant: v}
	endpoints, err := load.WatchService(ctx, b.env.Config, namespace, clusterName, "http")
	if err != nil {
		return r, err
	}
	writes := load.Start(ctx, endpoints, load.Options{Rate: b.rate})
	defer writes.Stop()
	if err := sleep(ctx, settle); err != nil {
		return r, err
	}
	before := watcher.Snapshot().LeaderChanges
	began := time.Now()
	if err := v.upgrade(ctx, b, namespace, b.to); err != nil {
		return r, err
	}
	limit := 3*time.Minute + time.Duration(b.replicas)*time.Minute
	if err := b.await(ctx, watcher, b.to, limit); err != nil {
		return r, err
	}
	r.took = time.Since(began)
	if err := sleep(ctx, settle); err != nil {
		return r, err
	}
	r.load = writes.Stop()
	reading, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if r.verified, err = writes.Verify(reading); err != nil {
		return r, err
	}
	r.timeline = watcher.Timeline()
	r.timeline.LeaderChanges -= before // Those of the bootstrap are not the upgrade's.
	return r, nil
}

// await is the same for all variants: as many servers as wanted, all of the version, all voting and serving.
func (b *bench) await(ctx context.Context, watcher *observer.Observer, version string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	began, before := time.Now(), watcher.Snapshot()
	for {
		now := watcher.Snapshot()
		if text := news(before, now); text != "" {
			b.say("%4.0f s  %s", time.Since(began).Seconds(), text)
		}
		if reached(now, b.replicas, version) {
			return nil
		}
		before = now
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("not there after %s: %s; logs are in %s", limit, news(observer.Snapshot{}, now), b.env.Dir)
			}
			return ctx.Err()
		case <-b.env.OperatorCrashed():
			return fmt.Errorf("the operator ended unexpectedly, see %s", b.env.OperatorLog())
		case <-ticker.C:
		}
	}
}

func reached(now observer.Snapshot, replicas int, version string) bool {
	there := 0
	for _, server := range now.Servers {
		if server.State == observer.Gone {
			continue
		}
		if server.State != observer.Serving || server.Version != version {
			return false
		}
		there++
	}
	return there == replicas && now.Leader != ""
}

// news is what changed between two looks.
func news(before, now observer.Snapshot) string {
	states := map[string]observer.State{}
	for _, server := range before.Servers {
		states[server.Name] = server.State
	}
	var changes []string
	for _, server := range now.Servers {
		if states[server.Name] != server.State {
			changes = append(changes, fmt.Sprintf("%s is %s", server.Name, server.State))
		}
	}
	switch now.Leader {
	case before.Leader:
	case "":
		changes = append(changes, "no leader")
	default:
		changes = append(changes, now.Leader+" leads")
	}
	return strings.Join(changes, ", ")
}

// remove waits until nothing is left: the next variant is to have the machine for itself.
func (b *bench) remove(ctx context.Context, namespace *corev1.Namespace) error {
	err := b.env.Client.DeleteAllOf(ctx, &v1alpha1.ConsulCluster{}, client.InNamespace(namespace.Name))
	if err := errors.Join(err, b.env.Client.Delete(ctx, namespace)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := b.env.Client.Get(ctx, client.ObjectKeyFromObject(namespace), namespace)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("namespace %s is not gone: %w", namespace.Name, err)
		}
	}
}

func sleep(ctx context.Context, duration time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(duration):
		return nil
	}
}

func createWithOperator(surge int32) func(context.Context, *bench, string, string) error {
	return func(ctx context.Context, b *bench, namespace, version string) error {
		cluster, err := harness.Sample()
		if err != nil {
			return err
		}
		cluster.Namespace, cluster.Name = namespace, clusterName
		cluster.Spec.Version = version
		cluster.Spec.Replicas = int32(b.replicas) //nolint:gosec // the API server checks it
		cluster.Spec.Update.MaxSurge = surge
		return b.env.Client.Create(ctx, cluster)
	}
}

func upgradeWithOperator(ctx context.Context, b *bench, namespace, version string) error {
	key := client.ObjectKey{Namespace: namespace, Name: clusterName}
	return b.env.Patch(ctx, key, func(c *v1alpha1.ConsulCluster) { c.Spec.Version = version })
}
