// Command demo upgrades a real Consul cluster under a real write load on this machine, shows it happen, and reports
// what the writers noticed.
package main

import (
	"context"
	"flag"
	"os"

	"github.com/consul-operator/consul-operator/test/lib/harness"
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

func main() {
	var o options
	flag.StringVar(&o.from, "from", "1.22.0", "Consul version to begin with")
	flag.StringVar(&o.to, "to", "1.22.7", "Consul version to upgrade to")
	flag.IntVar(&o.replicas, "replicas", 3, "number of servers: 1, 3, 5 or 7")
	flag.IntVar(&o.surge, "surge", 1, "servers beyond that number while upgrading")
	flag.IntVar(&o.rate, "rate", load.DefaultRate, "writes per second to aim at")
	flag.BoolVar(&o.keep, "keep", false, "leave it running in the end, until Ctrl-C")
	flag.StringVar(&o.report, "report", "demo-report.html", "file for the report")
	harness.Main(version, func(ctx context.Context) error {
		d := &demo{options: o, out: os.Stdout}
		defer d.close()
		return d.run(ctx)
	})
}
