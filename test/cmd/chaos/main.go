// Command chaos runs a real Consul cluster under load on this machine and, for minutes, does to it what happens in bad
// weeks: processes are killed or stand still, pods and disks go, the operator dies, the API server refuses and hangs, agents
// answer garbage, and users change the spec meanwhile.
// In the end the cluster has to be as wanted, no invariant broken, no acknowledged write lost, and what clients read and
// wrote has to be linearizable.
//
// The faults are drawn by a seed, which is printed. The same seed draws the same faults in the same order; what they
// meet is another matter, since nobody controls when a real process does what.
package main

import (
	"context"
	"flag"
	"os"
	"time"

	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// version is set by the build.
var version = "dev"

type options struct {
	duration time.Duration
	seed     uint64
	nodes    string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == operatorCommand {
		operatorMain(os.Args[2:])
		return
	}
	var o options
	flag.DurationVar(&o.duration, "duration", 5*time.Minute, "for how long faults are injected")
	flag.Uint64Var(&o.seed, "seed", 0, "seed of the faults; by default one of the time")
	flag.StringVar(&o.nodes, "nodes", "",
		"kubeconfig of hack/cluster, to run it on real nodes; by default a local cluster is started")
	harness.Main(version, func(ctx context.Context) error {
		if o.seed == 0 {
			o.seed = newSeed()
		}
		return run(ctx, o, os.Stdout)
	})
}

// newSeed is short enough to be typed.
func newSeed() uint64 { return uint64(time.Now().UnixMilli()) % 1_000_000_000 } //nolint:gosec // any number will do
