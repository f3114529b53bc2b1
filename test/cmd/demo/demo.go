package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/await"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

const (
	startLimit = 3 * time.Minute
	readyLimit = 5 * time.Minute
	// settle is for how long the load goes on before and after the upgrade.
	settle = 4 * time.Second
)

// demo is one run.
type demo struct {
	options options
	out     io.Writer
	steps   int

	*harness.Scene
}

const totalSteps = 7

func (d *demo) step(format string, args ...any) {
	d.steps++
	fmt.Fprintf(d.out, "\n[%d/%d] %s\n", d.steps, totalSteps, fmt.Sprintf(format, args...))
}

func (d *demo) say(text string) { fmt.Fprintf(d.out, "      %s\n", text) }

func (d *demo) run(ctx context.Context) error {
	if err := harness.CheckPrograms("kubectl", "consul-"+d.options.from, "consul-"+d.options.to); err != nil {
		return err
	}
	if err := d.createCluster(ctx); err != nil {
		return d.withHints(err)
	}
	outcome, err := d.upgradeUnderLoad(ctx)
	if err != nil {
		return d.withHints(err)
	}
	if err := d.print(ctx, outcome); err != nil {
		return err
	}
	if d.options.keep {
		d.leaveRunning(ctx)
	}
	return outcome.verdict()
}

// withHints says where to look.
func (d *demo) withHints(err error) error {
	if d.Scene == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w\n\nLogs: of the operator %s\n      of the servers and the control plane %s",
		err, relative(d.OperatorLog()), relative(d.Cluster.Dir()))
}

func (d *demo) close() {
	if d.Scene == nil {
		return
	}
	if err := d.Close(); err != nil {
		fmt.Fprintln(d.out, "stopping the local cluster:", err)
	}
}

func (d *demo) createCluster(ctx context.Context) error {
	d.step("Starting a local Kubernetes cluster, and the operator on it")
	starting, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var err error
	d.Scene, err = harness.Open(starting, harness.Options{Name: "demo", Progress: d.say})
	if err != nil {
		return err
	}
	cluster, err := harness.Sample()
	if err != nil {
		return err
	}
	cluster.Spec.Version = d.options.from
	cluster.Spec.Replicas = int32(d.options.replicas)     //nolint:gosec // the API server checks it
	cluster.Spec.Update.MaxSurge = int32(d.options.surge) //nolint:gosec // the API server checks it

	d.step("kubectl apply -f config/samples   (version %s, replicas %d, maxSurge %d)",
		d.options.from, d.options.replicas, d.options.surge)
	if err := d.Create(ctx, cluster); err != nil {
		return err
	}
	began := time.Now()
	if err := d.WaitReady(ctx, readyLimit, d.say); err != nil {
		return err
	}
	d.step("Ready after %s", report.Seconds(time.Since(began)))
	d.kubectl(ctx)
	return nil
}

func (d *demo) kubectl(ctx context.Context) {
	const command = "get consulclusters,pods"
	output, err := d.Kubectl(ctx, strings.Fields(command)...)
	if err != nil {
		output += "\n" + err.Error()
	}
	fmt.Fprintf(d.out, "\n$ kubectl %s\n%s\n", command, output)
}

// upgradeUnderLoad is what it is all about.
func (d *demo) upgradeUnderLoad(ctx context.Context) (outcome, error) {
	d.step("Writing to all serving servers, with new and with keep-alive connections, and holding a lock")
	if err := d.Observe(ctx, d.options.replicas); err != nil {
		return outcome{}, err
	}
	d.Observer.AllowLeaderChanges(1)
	if err := d.StartClients(ctx, harness.Clients{Options: load.Options{Rate: d.options.rate}}); err != nil {
		return outcome{}, err
	}
	if err := await.Sleep(ctx, settle); err != nil {
		return outcome{}, err
	}
	now := d.Load.Counters()
	d.say(fmt.Sprintf("%s writes/s, %s failed so far", report.Number(int(now.Rate)), report.Number(now.Failed)))

	d.step("kubectl patch consulcluster %s --type=merge -p '{\"spec\":{\"version\":%q}}'", d.Key.Name, d.options.to)
	began := time.Now()
	if err := d.upgrade(ctx, began); err != nil {
		return outcome{}, err
	}
	took := time.Since(began)
	if err := await.Sleep(ctx, settle); err != nil {
		return outcome{}, err
	}
	return d.finish(ctx, began, took)
}

func (d *demo) upgrade(ctx context.Context, began time.Time) error {
	err := d.Patch(ctx, func(c *v1alpha1.ConsulCluster) { c.Spec.Version = d.options.to })
	if err != nil {
		return err
	}
	v := newView(d, began)
	watching, stopWatching := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		v.run(watching)
	}()
	limit := 3*time.Minute + time.Duration(d.options.replicas)*time.Minute
	err = d.WaitReady(ctx, limit, nil)
	stopWatching()
	<-stopped
	return err
}

func (d *demo) finish(ctx context.Context, began time.Time, took time.Duration) (outcome, error) {
	d.step("Reading back the last acknowledged write of every writer")
	seen, err := d.End(ctx)
	if err != nil {
		return outcome{}, err
	}
	d.say(fmt.Sprintf("%s keys read, %d acknowledged writes lost", report.Number(seen.Verified.Keys), len(seen.Verified.Lost)))
	return outcome{options: d.options, Outcome: seen, Began: began, Took: took}, nil
}

func (d *demo) print(ctx context.Context, o outcome) error {
	d.step("Upgraded from %s to %s in %s", d.options.from, d.options.to, report.Seconds(o.Took))
	d.kubectl(ctx)
	fmt.Fprintf(d.out, "\n%s\n", o.text())
	file, err := os.Create(d.options.report)
	if err != nil {
		return err
	}
	if err := errors.Join(writeHTML(file, o), file.Close()); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "The timeline, for a browser: %s\n", d.options.report)
	return nil
}

func (d *demo) leaveRunning(ctx context.Context) {
	fmt.Fprintf(d.out, `
It keeps running until Ctrl-C. In another terminal:

  export KUBECONFIG=%s PATH=$PWD/bin:$PATH

  kubectl get consulclusters -o wide --watch
  kubectl scale consulcluster %[2]s --replicas=5
  kubectl annotate consulcluster %[2]s %[3]s=$(date +%%s)     # replace all servers
  kubectl annotate consulcluster %[2]s %[4]s=      # hand leadership to another server
  kubectl get events --field-selector involvedObject.kind=ConsulCluster --watch

Logs of the operator: %[5]s
`, d.Cluster.Kubeconfig(), d.Key.Name,
		v1alpha1.AnnotationRestartedAt, v1alpha1.AnnotationTransferLeadership, relative(d.OperatorLog()))
	select {
	case <-ctx.Done():
	case <-d.OperatorCrashed():
		fmt.Fprintln(d.out, "the operator ended unexpectedly")
	}
}

func relative(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if short, err := filepath.Rel(here, path); err == nil && !strings.HasPrefix(short, "..") {
		return short
	}
	return path
}
