// Command benchsecurity switches gossip encryption, TLS and ACLs on in a cluster that runs, and rotates each key, certificate and
// token of it, under load, and prints what clients noticed of each change beside what they notice of a rolling replacement of all
// servers, as an upgrade is.
package main

import (
	"context"
	"errors"
	"flag"
	"os"

	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

// version is set by the build.
var version = "dev"

type options struct {
	consul   string
	replicas int
	rate     int
}

func main() {
	var o options
	flag.StringVar(&o.consul, "consul", "1.22.7", "Consul version")
	flag.IntVar(&o.replicas, "replicas", 3, "number of servers: 1, 3, 5 or 7")
	flag.IntVar(&o.rate, "rate", load.DefaultRate, "writes per second to aim at")
	harness.Main(version, func(ctx context.Context) error { return run(ctx, o) })
}

func run(ctx context.Context, o options) error {
	b := &bench{options: o, out: os.Stdout}
	if err := b.start(ctx); err != nil {
		return err
	}
	defer b.close()
	var results []result
	for _, c := range changes {
		r, err := b.measure(ctx, c)
		if err != nil {
			return errors.Join(err, printTable(os.Stdout, o, results))
		}
		results = append(results, r)
	}
	return printTable(os.Stdout, o, results)
}
