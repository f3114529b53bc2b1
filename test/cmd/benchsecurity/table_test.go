package main

import (
	"bytes"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/observer"
)

func TestTheTableCountsFailuresForEachLeaderChange(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	start := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	sample := func(i, failed, leaders int) result {
		gap := load.Gap{From: start, To: start.Add(40 * time.Millisecond)}
		kinds := map[load.Kind]load.Totals{
			load.NewConnection: {Acknowledged: 1000 - failed, Failed: failed},
			load.KeepAlive:     {Acknowledged: 980, Failed: 20},
		}
		return result{change: changes[i], took: 61 * time.Second, replaced: 3, Outcome: harness.Outcome{
			Load: load.Result{All: load.Totals{Gap: gap}, Kinds: kinds}, Timeline: observer.Timeline{LeaderChanges: leaders},
		}}
	}
	results := []result{sample(0, 7, 1), sample(1, 9, 3), sample(7, 2, 0)}
	g.Expect(printTable(&out, options{consul: "1.22.7", replicas: 3, rate: 600}, results)).To(Succeed())
	for _, line := range []string{
		`^Consul 1\.22\.7, 3 servers, up to 600 writes/s$`,
		`^\| replacement of all servers, open +\| 61\.0 s +\| 3 +\| 1 +\| 7 of 1,000 +\| 7\.0 +\| 20 of 1,000 +\| 40 ms +\|`,
		`^\| gossip encryption on +\| 61\.0 s +\| 3 +\| 3 +\| 9 of 1,000 +\| 3\.0 +\|`,
		` +\| 0 +\| kept +\| 0 +\|$`,
		`^\| another gossip key +\| 61\.0 s +\| 3 +\| 0 +\| 2 of 1,000 +\| - +\|`,
	} {
		g.Expect(out.String()).To(MatchRegexp("(?m)" + line))
	}
}
