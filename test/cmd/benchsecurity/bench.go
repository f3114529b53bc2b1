package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/await"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/observer"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

const (
	startLimit  = 5 * time.Minute
	changeLimit = 15 * time.Minute
	settle      = 4 * time.Second
)

var cluster = client.ObjectKey{Namespace: "default", Name: "consul"}

// result is what clients and the observer saw of a change.
type result struct {
	change
	harness.Outcome
	took time.Duration
	// replaced are the servers that are not there any more, or whose container was started again.
	replaced int
}

type bench struct {
	options
	out io.Writer
	env *harness.Env
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.out, "      "+format+"\n", args...) }

// start makes a cluster that is open to everybody.
func (b *bench) start(ctx context.Context) error {
	if err := harness.CheckPrograms("consul-" + b.consul); err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\nConsul %s, %s, %d changes; some minutes for those that replace servers\n", b.consul,
		report.Count(b.replicas, "server"), len(changes))
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var err error
	b.env, err = harness.Start(ctx, harness.Options{Name: "bench-security", Progress: func(text string) { b.say("%s", text) }})
	if err != nil {
		return err
	}
	c, err := harness.Sample()
	if err != nil {
		return errors.Join(err, b.env.Stop())
	}
	c.Namespace, c.Name = cluster.Namespace, cluster.Name
	c.Spec.Version, c.Spec.Replicas = b.consul, int32(b.replicas) //nolint:gosec // the API server checks it
	c.Spec.Update.MaxSurge = c.Spec.Replicas
	c.Spec.GossipEncryption.Enabled, c.Spec.ACLs.Enabled = new(false), new(false)
	c.Spec.TLS = v1alpha1.TLS{Enabled: new(false), CAGracePeriod: &metav1.Duration{Duration: time.Second}}
	s := b.env.Scene(cluster)
	if err = s.Create(ctx, c); err == nil {
		err = s.WaitReady(ctx, startLimit, nil)
	}
	if err != nil {
		return errors.Join(err, b.env.Stop())
	}
	return nil
}

func (b *bench) close() {
	if err := b.env.Stop(); err != nil {
		b.say("stopping the local cluster: %v", err)
	}
}

// measure makes one change under a load of its own.
func (b *bench) measure(ctx context.Context, c change) (result, error) {
	fmt.Fprintf(b.out, "\n%s\n", c.what)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := b.env.Scene(cluster)
	defer s.Close()
	r := result{change: c}
	if err := b.open(ctx, s); err != nil {
		return r, err
	}
	go keepUp(ctx, s)
	pods, err := s.Pods(ctx)
	if err != nil {
		return r, err
	}
	began := time.Now()
	if err := b.carryOut(ctx, s, c); err != nil {
		return r, fmt.Errorf("%s: %w; logs are in %s", c.what, err, b.env.Dir)
	}
	r.took = time.Since(began)
	if err := await.Sleep(ctx, settle); err != nil {
		return r, err
	}
	if r.Outcome, err = s.End(ctx); err != nil {
		return r, err
	}
	if r.replaced, err = replacements(ctx, s, r.Timeline, pods); err != nil {
		return r, err
	}
	b.report(r)
	return r, nil
}

// report says what came of a change, and what else was seen.
func (b *bench) report(r result) {
	all := r.Load.All
	b.say("%s, %s writes failed, longest gap %s, %s, %s replaced", report.Seconds(r.took), report.Of(all.Failed, all.Attempts()),
		report.Millis(all.Gap.Length()), report.Count(r.Timeline.LeaderChanges, "leader change"), report.Count(r.replaced, "server"))
	if least, most := r.Timeline.Handovers(); least != most {
		b.say("%d of %d leader changes while the machine stood still", most-least, most)
	}
	for _, violation := range r.Timeline.Violations {
		b.say("%s", violation)
	}
}

// replacements is how many servers are gone, or were started again.
func replacements(ctx context.Context, s *harness.Scene, seen observer.Timeline, before map[string]string) (int, error) {
	now, err := s.Pods(ctx)
	n := 0
	for _, server := range seen.Servers {
		if _, stays := now[server.Name]; !stays {
			n++
		}
	}
	for name, pod := range before {
		if again, stays := now[name]; stays && again != pod {
			n++
		}
	}
	return n, err
}

// open puts the cluster under observation and load. Clients verify servers if all have certificates by then, and use HTTP until
// the end of the change otherwise.
func (b *bench) open(ctx context.Context, s *harness.Scene) error {
	refresh(ctx, s)
	if err := s.Observe(ctx, b.replicas); err != nil {
		return err
	}
	clients := harness.Clients{
		Options: load.Options{Rate: b.rate}, LockName: fmt.Sprintf("%s-%d", cluster.Name, time.Now().UnixMilli()),
	}
	if err := s.StartClients(ctx, clients); err != nil {
		return err
	}
	return await.Sleep(ctx, settle)
}

// keepUp has clients read their Secrets again, as those do that have them mounted.
func keepUp(ctx context.Context, s *harness.Scene) {
	for await.Sleep(ctx, 500*time.Millisecond) == nil {
		refresh(ctx, s)
	}
}

// refresh gives clients whom to believe and, once Consul knows it, the token. There may be none of both.
func refresh(ctx context.Context, s *harness.Scene) {
	_ = s.Believe(ctx)
	tokens := &corev1.Secret{}
	key := client.ObjectKey{Namespace: s.Key.Namespace, Name: resources.TokensSecretName(s.Key.Name)}
	if s.Client.Get(ctx, key, tokens) == nil && resources.TokensMade(tokens) {
		_ = s.Authenticate(ctx)
	}
}

// carryOut asks for the change and waits until it has come about and the cluster is Ready.
func (b *bench) carryOut(ctx context.Context, s *harness.Scene, c change) error {
	before, err := look(ctx, s)
	if err != nil {
		return err
	}
	if err := s.Patch(ctx, c.ask); err != nil {
		return err
	}
	return s.WaitFor(ctx, changeLimit, nil, func(*v1alpha1.ConsulCluster) bool {
		now, err := look(ctx, s)
		return err == nil && harness.IsReady(now.cluster) && c.done(before, now)
	})
}
