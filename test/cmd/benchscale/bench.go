package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/consul-operator/consul-operator/test/lib/await"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

const (
	namespace = metav1.NamespaceDefault
	// startLimit is for the control plane, settleLimit for all clusters to come to rest, and stepLimit for a step of one.
	startLimit  = 5 * time.Minute
	settleLimit = time.Hour
	stepLimit   = 2 * time.Minute
	// quietFor is how long an operator writes nothing that has nothing to write.
	quietFor = 2 * time.Second
	// profileFor is how long what the operator computes is profiled, or for as long as it is watched idle, if that is less.
	profileFor = 15 * time.Second
)

type bench struct {
	options
	out   io.Writer
	env   *harness.Env
	world *world
	api   kubernetes.Interface
	end   context.CancelFunc

	metricsAddress, pprofAddress string
	results                      results
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.out, "      "+format+"\n", args...) }

// start brings up the API server, the world around it, and the operator.
func (b *bench) start(ctx context.Context) (err error) {
	starting, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var ports []string
	for range 2 {
		port, err := freePort()
		if err != nil {
			return err
		}
		ports = append(ports, port)
	}
	b.metricsAddress, b.pprofAddress = ports[0], ports[1]
	b.env, err = harness.Start(starting, harness.Options{
		Name: "benchscale", APIServerOnly: true, WithoutOperator: true, OperatorBinary: b.operator,
		OperatorArgs: []string{
			"--metrics-bind-address=" + b.metricsAddress, "--metrics-secure=false", "--pprof-bind-address=" + b.pprofAddress,
			"--volume-usage=false", // there are no kubelets
		},
		Progress: func(text string) { b.say("%s", text) },
	})
	if err != nil {
		return err
	}
	if b.api, err = kubernetes.NewForConfig(b.env.Config); err != nil {
		return err
	}
	var running context.Context
	running, b.end = context.WithCancel(ctx)
	if b.world, err = newWorld(running, b.env.Config, b.pace); err != nil {
		return err
	}
	return b.env.StartOperator()
}

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (b *bench) close() {
	if b.env == nil {
		return
	}
	b.env.StopOperator()
	if b.end != nil {
		b.end()
	}
	if b.world != nil {
		b.world.close()
	}
	if err := b.env.Stop(); err != nil {
		b.say("stopping the API server: %v", err)
	}
}

// all waits until something is true of all clusters.
func (b *bench) all(ctx context.Context, what string, is func(*cluster) bool) error {
	if err := await.Success(ctx, 50*time.Millisecond, func() error {
		if seen := len(b.world.all()); seen < b.clusters {
			return fmt.Errorf("only %s are seen", report.Of(seen, b.clusters))
		}
		return nil
	}); err != nil {
		return err
	}
	return b.await(ctx, b.world.all(), what, is)
}

// await waits until something is true of some clusters, and says every few seconds of how many it is.
func (b *bench) await(ctx context.Context, clusters []*cluster, what string, is func(*cluster) bool) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	began, said := time.Now(), time.Now()
	for {
		number := 0
		for _, c := range clusters {
			if is(c) {
				number++
			}
		}
		if number == len(clusters) {
			return nil
		}
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			b.say("%4.0f s  %s are %s", time.Since(began).Seconds(), report.Of(number, len(clusters)), what)
		}
		select {
		case <-b.env.OperatorCrashed():
			return fmt.Errorf("the operator ended unexpectedly, see %s", b.env.OperatorLog())
		default:
		}
		if err := await.Sleep(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%s clusters are %s (%w); the last write that failed: %v; see %s",
				report.Of(number, len(clusters)), what, err, b.world.problem.Load(), b.env.OperatorLog())
		}
	}
}

// settled waits until all clusters are Ready and the operator does nothing more than to follow them.
func (b *bench) settled(ctx context.Context) error {
	if err := b.all(ctx, "Ready", (*cluster).isReady); err != nil {
		return err
	}
	if err := b.all(ctx, "followed", (*cluster).isWatched); err != nil {
		return err
	}
	return b.idleQueue(ctx)
}

// idleQueue waits until the operator reconciles nothing.
func (b *bench) idleQueue(ctx context.Context) error {
	return await.Success(ctx, 100*time.Millisecond, func() error {
		m, err := b.operatorMetrics(ctx)
		if err != nil {
			return err
		}
		if m.sum("workqueue_depth", anyLabels)+m.sum("controller_runtime_active_workers", anyLabels) > 0 {
			return errors.New("the operator reconciles")
		}
		return nil
	})
}

// quiet waits until the operator has written nothing for a while: its events come after what they tell of.
func (b *bench) quiet(ctx context.Context) error {
	return await.Success(ctx, 0, func() error {
		before, err := b.operatorMetrics(ctx)
		if err != nil {
			return err
		}
		if err := await.Sleep(ctx, quietFor); err != nil {
			return err
		}
		after, err := b.operatorMetrics(ctx)
		if err == nil && after.sum(requests, isNoGet) > before.sum(requests, isNoGet) {
			err = errors.New("the operator writes")
		}
		return err
	})
}

// requests are those that the operator has made.
const requests = "rest_client_requests_total"

func isNoGet(of labels) bool { return of["method"] != http.MethodGet }

// counted is all that is counted at one time.
type counted struct {
	at time.Time
	// apiWrites are those that the API server got from others than this program, and operatorWrites those that the operator
	// says it made. The rest would be the API server's own.
	apiWrites, operatorWrites int
	writes                    map[string]int // all of them, by what is written
	calls                     int
	revision                  int // of etcd
	reconciles                histogram
	process                   process
	heap, stacks, goroutines  int // as the operator counts them
}

func (b *bench) count(ctx context.Context) (c counted, err error) {
	ours := int(b.world.writes.Load())
	text, err := b.api.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return c, err
	}
	m, err := parseMetrics(text)
	if err != nil {
		return c, err
	}
	c.apiWrites, c.writes = int(m.sum(answered, isWrite))-ours, m.writes()
	if m, err = b.operatorMetrics(ctx); err != nil {
		return c, err
	}
	c.operatorWrites = int(m.sum(requests, isNoGet))
	c.reconciles = m.histogram("controller_runtime_reconcile_time_seconds")
	c.calls = int(b.world.calls.Load())
	c.heap, c.stacks = int(m.sum("go_memstats_heap_inuse_bytes", anyLabels)), int(m.sum("go_memstats_stack_inuse_bytes", anyLabels))
	c.goroutines = int(m.sum("go_goroutines", anyLabels))
	if c.revision, err = b.revision(ctx); err != nil {
		return c, err
	}
	c.process, err = readProcess(b.env.OperatorPID())
	c.at = time.Now()
	return c, err
}

// since is what was counted since another time.
func (c counted) since(before counted) counted {
	c.apiWrites -= before.apiWrites
	c.writes = maps.Clone(c.writes)
	for what, number := range before.writes {
		c.writes[what] -= number
	}
	c.operatorWrites -= before.operatorWrites
	c.calls -= before.calls
	c.revision -= before.revision + 1 // the second look writes as well
	c.reconciles = c.reconciles.since(before.reconciles)
	c.process.cpu -= before.process.cpu
	return c
}

// keepProfile keeps a profile of the operator, if they are to be kept.
func (b *bench) keepProfile(ctx context.Context, name, path string) error {
	if b.profiles == "" {
		return nil
	}
	content, err := get(ctx, "http://"+b.pprofAddress+"/debug/pprof/"+path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.profiles, 0o755); err != nil { //nolint:gosec // for everybody to read
		return err
	}
	return os.WriteFile(filepath.Join(b.profiles, name+".pprof"), content, 0o644) //nolint:gosec // the same
}

// whileProfiled does something while a profile of what the operator computes is taken.
func (b *bench) whileProfiled(ctx context.Context, name string, do func() error) error {
	if b.profiles == "" {
		return do()
	}
	done := make(chan error, 1)
	profiled := min(profileFor, max(time.Second, b.idle))
	go func() { done <- b.keepProfile(ctx, name, fmt.Sprintf("profile?seconds=%.0f", profiled.Seconds())) }()
	return errors.Join(do(), <-done)
}

// revision of etcd, which counts all writes. It takes a write to see it.
func (b *bench) revision(ctx context.Context) (int, error) {
	probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "benchscale-"}}
	if err := b.world.client.Create(ctx, probe); err != nil {
		return 0, err
	}
	var revision int
	_, err := fmt.Sscan(probe.ResourceVersion, &revision)
	return revision, err
}
