// Command benchsnapshots saves clusters of different sizes to an object store, verifies the snapshots by restoring them, restores
// one into the cluster that runs and one into a new cluster, and prints how long each took and how much memory a Job needed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// version is set by the build.
var version = "dev"

type options struct {
	consul string
	sizes  sizes
}

// sizes of the KV store, in MiB.
type sizes []int

func (s *sizes) String() string { return fmt.Sprint(*s) }

func (s *sizes) Set(list string) error {
	*s = nil
	for text := range strings.SplitSeq(list, ",") {
		size, err := strconv.Atoi(text)
		if err != nil || size < 1 {
			return errors.New("sizes are numbers of MiB, such as 1,200")
		}
		*s = append(*s, size)
	}
	return nil
}

func main() {
	o := options{sizes: sizes{1, 200, 1024}}
	flag.StringVar(&o.consul, "consul", "1.22.7", "Consul version")
	flag.Var(&o.sizes, "sizes", "sizes of the KV store in MiB, separated by commas")
	harness.Main(version, func(ctx context.Context) error { return run(ctx, o) })
}

func run(ctx context.Context, o options) error {
	log.SetLogger(logr.Discard()) // the client libraries complain about an API server that is being stopped
	b := &bench{options: o, out: os.Stdout}
	if err := b.start(ctx); err != nil {
		return err
	}
	defer b.close()
	var results []result
	for _, size := range o.sizes {
		r, err := b.measure(ctx, size)
		if err != nil {
			return errors.Join(fmt.Errorf("%d MiB: %w; logs are in %s", size, err, b.env.Dir), printTable(os.Stdout, o, results))
		}
		results = append(results, r)
	}
	return printTable(os.Stdout, o, results)
}
