package main

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/observer"
)

// sampleOutcome is an upgrade of one server of three, with one handoff and two failed writes.
func sampleOutcome() outcome {
	start := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	random := rand.New(rand.NewPCG(1, 2))
	o := outcome{
		options: options{from: "1.22.0", to: "1.22.7", replicas: 3, surge: 1},
		Began:   at(4), Took: 28 * time.Second,
		Outcome: harness.Outcome{
			Verified: load.Verification{Keys: 182},
			Load: load.Result{
				Start: start, End: at(36),
				All:   load.Totals{Acknowledged: 26_998, Failed: 2, Gap: load.Gap{From: at(28), To: at(28.042)}},
				Kinds: map[load.Kind]load.Totals{},
			},
			Timeline: observer.Timeline{
				Start: start, End: at(36), LeaderChanges: 1, FewestVoters: 3,
				Leaderships: []observer.Leadership{
					{Server: "consul-2", Term: 2, From: start, To: at(28)},
					{Server: "consul-3", Term: 3, From: at(28.04)},
				},
				Voters: []observer.Step{{At: start, N: 3}, {At: at(20), N: 4}, {At: at(31), N: 3}},
				Events: []observer.Event{{
					At: at(28.1), Type: "Normal", Reason: "LeaderMoved", Message: "leadership moved from consul-2 to consul-3 <in 9 ms>",
				}},
				Servers: []observer.Server{
					{Name: "consul-0", Spans: []observer.Span{{State: observer.Serving, Version: "1.22.0", From: start}}},
					{Name: "consul-1", Spans: []observer.Span{{State: observer.Serving, Version: "1.22.0", From: start}}},
					{Name: "consul-2", Spans: []observer.Span{
						{State: observer.Serving, Version: "1.22.0", From: start, To: at(26)},
						{State: observer.Retiring, Version: "1.22.0", From: at(26), To: at(31)},
						{State: observer.Leaving, Version: "1.22.0", From: at(31), To: at(33)},
						{State: observer.Gone, Version: "1.22.0", From: at(33)},
					}},
					{Name: "consul-3", Spans: []observer.Span{
						{State: observer.Starting, From: at(4.2), To: at(5.5)},
						{State: observer.Joining, Version: "1.22.7", From: at(5.5), To: at(20)},
						{State: observer.Serving, Version: "1.22.7", From: at(20)},
					}},
				},
			},
		},
	}
	o.Load.All.Classes = map[string]int{load.ClassTransfer: 2}
	for _, kind := range load.Kinds {
		o.Load.Kinds[kind] = load.Totals{Acknowledged: 13_499, Failed: 1, Classes: map[string]int{load.ClassTransfer: 1}}
	}
	for i := range 360 {
		b := load.Bucket{Acknowledged: 78, P50: time.Duration(2000+random.IntN(900)) * time.Microsecond}
		b.Max = b.P50 + time.Duration(random.ExpFloat64()*float64(4*time.Millisecond))
		if i == 280 {
			b.Failed, b.Max = 2, 44*time.Millisecond
		}
		o.Load.Buckets = append(o.Load.Buckets, b)
	}
	return o
}

func rendered(t *testing.T, o outcome) string {
	t.Helper()
	var b bytes.Buffer
	NewWithT(t).Expect(writeHTML(&b, o)).To(Succeed())
	return b.String()
}

func TestTheReportShowsTheWholeUpgrade(t *testing.T) {
	g := NewWithT(t)
	html := rendered(t, sampleOutcome())
	for _, lane := range []string{"consul-0", "consul-1", "consul-2", "consul-3"} {
		g.Expect(html).To(ContainSubstring(`<g class="lane" data-server="` + lane + `">`))
	}
	g.Expect(strings.Count(html, `<rect class="serving"`)).To(Equal(4))
	g.Expect(strings.Count(html, `<rect class="crown"`)).To(Equal(2))
	g.Expect(strings.Count(html, `<rect class="fail"`)).To(Equal(1))
	g.Expect(html).To(ContainSubstring("♛ consul-2 → consul-3"))
	g.Expect(html).To(ContainSubstring("leadership moved from consul-2 to consul-3 &lt;in 9 ms&gt;"))
	g.Expect(html).To(ContainSubstring("2 failed writes"))
	g.Expect(html).To(ContainSubstring(`<div class="verdict">`))
	g.Expect(html).NotTo(ContainSubstring(`class="gone"`), "what is gone is not drawn")
}

func TestTheReportFetchesNothing(t *testing.T) {
	g := NewWithT(t)
	html := rendered(t, sampleOutcome())
	for _, fetching := range []string{"http://", "https://", "src=", "<link", "@import", "url("} {
		g.Expect(html).NotTo(ContainSubstring(fetching))
	}
}

func TestTheReportSaysWhatWentWrong(t *testing.T) {
	g := NewWithT(t)
	o := sampleOutcome()
	o.Timeline.LeaderChanges = 2
	o.Timeline.Leaderships = append(o.Timeline.Leaderships, observer.Leadership{Server: "consul-2", Term: 4})
	o.Verified.Lost = []load.Lost{{Key: "load/x/01", Acknowledged: 7}}
	o.Timeline.Violations = []observer.Violation{{Invariant: invariant.I2, Message: "2 voters, 3 are wanted"}}
	html := rendered(t, o)
	g.Expect(html).To(ContainSubstring(`<div class="verdict bad">`))
	g.Expect(html).To(ContainSubstring("1 acknowledged writes were lost; leadership changed 2 times"))
	g.Expect(html).To(ContainSubstring("2 voters, 3 are wanted"))
	g.Expect(o.verdict()).To(HaveOccurred())
	g.Expect(sampleOutcome().verdict()).To(Succeed())
}

func TestAnOutageLeavesAHoleInTheLine(t *testing.T) {
	g := NewWithT(t)
	o := sampleOutcome()
	for i := 100; i < 150; i++ {
		o.Load.Buckets[i] = load.Bucket{Failed: 3}
	}
	p, err := newPage(o)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(strings.Count(p.P50, "M")).To(Equal(2))
	g.Expect(p.Failures).To(HaveLen(51))
}
