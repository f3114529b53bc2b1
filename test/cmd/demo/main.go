// Command demo upgrades a real Consul cluster under a real write load on this machine, shows it happen, and reports
// what the writers noticed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/consul-operator/consul-operator/test/lib/load"
)

// version is set by the build.
var version = "dev"

type options struct {
	from, to string
	replicas int
	surge    int
	rate     int
	keep     bool
	report   string
}

func parseOptions() options {
	var o options
	flag.StringVar(&o.from, "from", "1.22.0", "Consul version to begin with")
	flag.StringVar(&o.to, "to", "1.22.7", "Consul version to upgrade to")
	flag.IntVar(&o.replicas, "replicas", 3, "number of servers: 1, 3, 5 or 7")
	flag.IntVar(&o.surge, "surge", 1, "servers beyond that number while upgrading")
	flag.IntVar(&o.rate, "rate", load.DefaultRate, "writes per second to aim at")
	flag.BoolVar(&o.keep, "keep", false, "leave it running in the end, until Ctrl-C")
	flag.StringVar(&o.report, "report", "demo-report.html", "file for the report")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *showVersion {
		fmt.Println(version)
		os.Exit(0)
	}
	return o
}

func main() {
	klog.SetLogger(logr.Discard()) // The client libraries complain about a cluster that is being stopped.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // A second Ctrl-C ends it at once; the processes die with it.
	d := newDemo(parseOptions(), os.Stdout)
	err := d.run(ctx)
	d.close()
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Println("\nstopped, nothing is left running")
		os.Exit(130)
	case err != nil:
		fmt.Fprintf(os.Stderr, "\nFAILED: %v\n", err)
		os.Exit(1)
	}
}
