package main

import (
	"bytes"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/observer"
)

func sample(i int, took time.Duration, failedNew, failedKept int, gap time.Duration, changes int) result {
	start := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	return result{
		variant: variants[i], took: took,
		load: load.Result{
			Start: start, End: start.Add(took),
			All: load.Totals{Gap: load.Gap{From: start, To: start.Add(gap)}},
			Kinds: map[load.Kind]load.Totals{
				load.NewConnection: {Acknowledged: 20_000 - failedNew, Failed: failedNew},
				load.KeepAlive:     {Acknowledged: 20_000 - failedKept, Failed: failedKept},
			},
		},
		timeline: observer.Timeline{LeaderChanges: changes, FewestVoters: 3},
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
	} {
		g.Expect(out.String()).To(MatchRegexp("(?m)" + line))
	}
}

func TestAllServersHaveToServe(t *testing.T) {
	g := NewWithT(t)
	server := func(state observer.State, version string) observer.ServerNow {
		return observer.ServerNow{State: state, Version: version}
	}
	now := observer.Snapshot{Leader: "consul-1", Servers: []observer.ServerNow{
		server(observer.Gone, "1"), server(observer.Serving, "2"), server(observer.Serving, "2"),
	}}
	g.Expect(reached(now, 2, "2")).To(BeTrue())
	g.Expect(reached(now, 3, "2")).To(BeFalse())
	g.Expect(reached(now, 2, "3")).To(BeFalse())
	now.Servers[1].State = observer.Leaving
	g.Expect(reached(now, 2, "2")).To(BeFalse())
	now.Servers[1].State, now.Leader = observer.Serving, ""
	g.Expect(reached(now, 2, "2")).To(BeFalse())
}

func TestNewsAreWhatChanged(t *testing.T) {
	g := NewWithT(t)
	before := observer.Snapshot{Leader: "consul-0", Servers: []observer.ServerNow{
		{Name: "consul-0", State: observer.Serving}, {Name: "consul-1", State: observer.Joining},
	}}
	now := observer.Snapshot{Servers: []observer.ServerNow{
		{Name: "consul-0", State: observer.Serving}, {Name: "consul-1", State: observer.Serving},
	}}
	g.Expect(news(before, before)).To(BeEmpty())
	g.Expect(news(before, now)).To(Equal("consul-1 is serving, no leader"))
	g.Expect(news(now, before)).To(Equal("consul-1 is joining, consul-0 leads"))
}
