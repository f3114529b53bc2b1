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

func sample(i int, took time.Duration, failedNew, failedKept int, gap time.Duration, changes int) result {
	start := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	return result{
		variant: variants[i], took: took, cores: 0.5 * float64(i+1),
		Outcome: harness.Outcome{
			Load: load.Result{
				Start: start, End: start.Add(took),
				Median: 2 * time.Millisecond, P99: time.Duration(i+1) * 10 * time.Millisecond,
				All: load.Totals{Gap: load.Gap{From: start, To: start.Add(gap)}},
				Kinds: map[load.Kind]load.Totals{
					load.NewConnection: {Acknowledged: 20_000 - failedNew, Failed: failedNew},
					load.KeepAlive:     {Acknowledged: 20_000 - failedKept, Failed: failedKept},
				},
			},
			Timeline: observer.Timeline{LeaderChanges: changes, FewestVoters: 3, Stalls: observer.Stalls{Count: i}},
		},
	}
}

func TestTheTableComparesWithTheFirst(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	g.Expect(printTable(&out, options{from: "1.22.0", to: "1.22.7", replicas: 3, rate: 800}, []result{
		sample(0, 64*time.Second, 0, 10, 40*time.Millisecond, 1),
		sample(2, 112*time.Second, 16_000, 15_000, 73*time.Second, 2),
	})).To(Succeed())
	for _, line := range []string{
		`^ +\(a\) operator +\(c\) StatefulSet$`,
		`^ +maxSurge 1 +SIGTERM without leave$`,
		`^duration +64\.0 s +112\.0 s$`,
		`^ +× 1\.8$`,
		`^failed writes, new connection +0 of 20,000 +16,000 of 20,000 \(80\.0%\)$`,
		`^ +≥ × 16,000$`,
		`^failed writes, keep-alive +10 of 20,000 \(0\.050%\) +15,000 of 20,000 \(75\.0%\)$`,
		`^ +× 1,500$`,
		`^longest gap without a write +40 ms +73\.0 s$`,
		`^ +× 1,825$`,
		`^acknowledged writes lost +0 +0$`,
		`^lock of an application +kept +kept$`,
		`^stalls of the machine +0 +2$`,
		`^latency of writes, p99 +10\.0 ms +30\.0 ms$`,
		`^processors that the servers keep busy +0\.50 +1\.50$`,
	} {
		g.Expect(out.String()).To(MatchRegexp("(?m)" + line))
	}
}
