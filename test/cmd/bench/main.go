// Command bench makes the same upgrade under the same load in five ways, one after another, each on a fresh Consul
// cluster on the same local Kubernetes cluster, and prints what the writers noticed side by side.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

// version is set by the build.
var version = "dev"

type options struct {
	from, to string
	replicas int
	rate     int
	only     string
}

func main() {
	var o options
	flag.StringVar(&o.from, "from", "1.22.0", "Consul version to begin with")
	flag.StringVar(&o.to, "to", "1.22.7", "Consul version to upgrade to")
	flag.IntVar(&o.replicas, "replicas", 3, "number of servers: 1, 3, 5 or 7")
	flag.IntVar(&o.rate, "rate", load.DefaultRate, "writes per second to aim at")
	flag.StringVar(&o.only, "only", "", "letters of the variants to run, such as ac; all by default")
	harness.Main(version, func(ctx context.Context) error { return run(ctx, o) })
}

func run(ctx context.Context, o options) error {
	b := &bench{options: o, out: os.Stdout}
	if err := b.start(ctx); err != nil {
		return err
	}
	defer b.close()
	var results []result
	for _, v := range variants {
		if o.only != "" && !strings.Contains(o.only, v.letter) {
			continue
		}
		r, err := b.measure(ctx, v)
		if err != nil {
			return fmt.Errorf("(%s) %s, %s: %w", v.letter, v.by, v.how, err)
		}
		results = append(results, r)
	}
	fmt.Println()
	return printTable(os.Stdout, o, results)
}
