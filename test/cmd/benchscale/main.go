// Command benchscale measures one operator with a thousand ConsulClusters: a real API server and etcd, the operator's binary, and
// this program for all else. It plays the kubelets and all Consul agents, by the model of Consul that is checked against real
// Consul (test/suite/conformance), and answers over HTTP as they do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

// version is set by the build.
var version = "dev"

type options struct {
	clusters, servers int
	hung              int // percent
	samples           int
	turns             int
	idle              time.Duration
	pace              int
	open              bool
	profiles          string
	operator          string
}

// subject is what is measured.
func (o options) subject() string {
	subject := fmt.Sprintf("%s of %s", report.Count(o.clusters, "ConsulCluster"), report.Count(o.servers, "server"))
	if o.open {
		subject += ", without TLS and ACLs"
	}
	return subject
}

func main() {
	var o options
	flag.IntVar(&o.clusters, "clusters", 1000, "number of ConsulClusters")
	flag.IntVar(&o.servers, "servers", 3, "servers of each: 1, 3, 5 or 7")
	flag.IntVar(&o.hung, "hung", 5, "percentage of clusters whose agents hang while others are changed")
	flag.IntVar(&o.samples, "samples", 50, "number of clusters that are changed while others hang, and as many while none does")
	flag.IntVar(&o.turns, "turns", 2, "how often these are changed in turn with and without others that hang")
	flag.DurationVar(&o.idle, "idle", time.Minute, "how long to watch the operator idle")
	flag.IntVar(&o.pace, "pace", 1, "how many times faster than in reality Consul and kubelets are")
	flag.BoolVar(&o.open, "open", false, "clusters without TLS and ACLs")
	flag.StringVar(&o.operator, "operator", "", "the operator's program; bin/consul-operator by default")
	flag.StringVar(&o.profiles, "profile", "", "folder for profiles of the operator; none by default")
	harness.Main(version, func(ctx context.Context) error { return run(ctx, o, os.Stdout) })
}

func run(ctx context.Context, o options, out io.Writer) error {
	if o.clusters < 2 || o.samples < 1 || o.hung < 1 || o.hung > 50 || o.turns < 1 || o.pace < 1 {
		return errors.New("it takes 2 clusters, a sample, 1 to 50 percent that hang, a turn and a pace of 1")
	}
	log.SetLogger(logr.Discard()) // the client libraries complain about an API server that is being stopped
	b := &bench{options: o, out: out}
	defer b.close()
	fmt.Fprintf(out, "\nOne operator, %s\n", o.subject())
	if err := b.start(ctx); err != nil {
		return err
	}
	for _, phase := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"all clusters are created", b.createAll},
		{"nothing happens", b.doNothing},
		{"clusters are reconciled that have nothing to do", b.reconcileIdle},
		{"the operator is killed and started again", b.restart},
		{"clusters are changed, while others hang and while none does", b.react},
		{"one cluster is upgraded", b.upgradeOne},
	} {
		fmt.Fprintf(out, "\n%s\n", phase.name)
		if err := phase.do(ctx); err != nil {
			return fmt.Errorf("while %s: %w", phase.name, err)
		}
	}
	fmt.Fprintln(out)
	_, err := fmt.Fprint(out, b.results.table(o))
	return err
}
