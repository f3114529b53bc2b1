package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

// metric is a line of the table: what was measured, and how many times that of the first variant it is.
type metric struct {
	name  string
	value func(r result) string
	ratio func(r, first result) string
}

var metrics = []metric{
	{"duration",
		func(r result) string { return report.Seconds(r.took) },
		func(r, first result) string { return times(r.took.Seconds(), first.took.Seconds()) }},
	failures(load.NewConnection),
	failures(load.KeepAlive),
	{"longest gap without a write",
		func(r result) string { return report.Millis(r.Load.All.Gap.Length()) },
		func(r, first result) string { return times(gap(r), gap(first)) }},
	{"leader changes",
		func(r result) string { return fmt.Sprint(r.Timeline.LeaderChanges) },
		func(r, first result) string {
			return times(float64(r.Timeline.LeaderChanges), float64(first.Timeline.LeaderChanges))
		}},
	{"fewest voters", func(r result) string { return fmt.Sprint(r.Timeline.FewestVoters) }, nil},
	{"acknowledged writes lost", func(r result) string { return fmt.Sprint(len(r.Verified.Lost)) }, nil},
	{"lock of an application", func(r result) string { return r.LockFate() }, nil},
	{"stalls of the machine", func(r result) string { return fmt.Sprint(r.Timeline.Stalls.Count) }, nil},
	{"writes acknowledged per second", func(r result) string { return fmt.Sprintf("%.0f", r.Load.Rate()) }, nil},
	latency("median", func(r result) time.Duration { return r.Load.Median }),
	latency("p99", func(r result) time.Duration { return r.Load.P99 }),
	{"processors that the servers keep busy",
		func(r result) string { return fmt.Sprintf("%.2f", r.cores) },
		func(r, first result) string { return times(r.cores, first.cores) }},
}

func latency(which string, of func(result) time.Duration) metric {
	return metric{"latency of writes, " + which,
		func(r result) string { return fmt.Sprintf("%.1f ms", of(r).Seconds()*1000) },
		func(r, first result) string { return times(of(r).Seconds(), of(first).Seconds()) }}
}

func failures(kind load.Kind) metric {
	return metric{"failed writes, " + string(kind),
		func(r result) string { return failed(r.Load.Kinds[kind]) },
		func(r, first result) string { return timesFailed(r.Load.Kinds[kind], first.Load.Kinds[kind]) }}
}

// printTable prints a column for each variant, and under each number its ratio to that of the first.
func printTable(out io.Writer, o options, results []result) error {
	if len(results) == 0 {
		return fmt.Errorf("no variant %q; there are a, b, c, d and e", o.only)
	}
	fmt.Fprintf(out, "Consul %s → %s, %s, the same load (up to %d writes/s) on the same machine\n\n",
		o.from, o.to, report.Count(o.replicas, "server"), o.rate)
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	line := func(name string, cell func(r result) string) {
		fmt.Fprint(w, name)
		for _, r := range results {
			fmt.Fprint(w, "\t"+cell(r))
		}
		fmt.Fprintln(w)
	}
	line("", func(r result) string { return "(" + r.letter + ") " + r.by })
	line("", func(r result) string { return r.how })
	for _, m := range metrics {
		line(m.name, m.value)
		if m.ratio == nil || len(results) == 1 {
			continue
		}
		line("", func(r result) string {
			if r.letter == results[0].letter {
				return ""
			}
			return m.ratio(r, results[0])
		})
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, `
× is the multiple of (%s); for failed writes of their share, and ≥ where (%[1]s) had none and is counted as if it had
one. All run in pods of the local cluster: (a), (b) and (e) as the operator makes them, (c) and (d) as a real StatefulSet,
rolled by Kubernetes' own controller, with Consul's defaults. (e) is the default of the operator, with gossip encryption, TLS
and ACLs; the others have none of it. A pod gets a new address each time, as pods do.
`, results[0].letter)
	return nil
}

func gap(r result) float64 { return max(r.Load.All.Gap.Length(), time.Microsecond).Seconds() }

func failed(t load.Totals) string {
	text := report.Of(t.Failed, t.Attempts())
	if t.Failed > 0 {
		text += fmt.Sprintf(" (%s)", percent(t))
	}
	return text
}

func share(failed, attempts int) float64 { return float64(failed) / float64(max(attempts, 1)) }

func percent(t load.Totals) string {
	value := share(t.Failed, t.Attempts()) * 100
	if value < 0.1 {
		return fmt.Sprintf("%.3f%%", value)
	}
	return fmt.Sprintf("%.1f%%", value)
}

// timesFailed compares shares, as a slow upgrade sees more writes than a fast one.
func timesFailed(t, first load.Totals) string {
	ratio := times(share(t.Failed, t.Attempts()), share(max(first.Failed, 1), first.Attempts()))
	if first.Failed == 0 && t.Failed > 0 {
		return "≥ " + ratio
	}
	return ratio
}

func times(value, first float64) string {
	if first == 0 {
		return "-"
	}
	ratio := value / first
	if ratio >= 100 {
		return "× " + report.Number(int(ratio))
	}
	return fmt.Sprintf("× %.2g", ratio)
}
