package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/consul-operator/consul-operator/test/harness"
	"github.com/consul-operator/consul-operator/test/load"
)

// printTable prints a line for each variant and, but for the first, one with the ratios to it.
func printTable(out io.Writer, o options, results []result) error {
	if len(results) == 0 {
		return fmt.Errorf("no variant %q; there are a, b, c and d", o.only)
	}
	fmt.Fprintf(out, "Consul %s → %s, %d servers: the same load on the same machine, in pods of the local cluster\n\n",
		o.from, o.to, o.replicas)
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "\tDURATION\tFAILED, NEW CONNECTION\tFAILED, KEEP-ALIVE\tLONGEST GAP\tLEADER CHANGES\tFEWEST VOTERS\tLOST")
	for i, r := range results {
		fmt.Fprintf(w, "(%s) %s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", r.letter, r.name, harness.Seconds(r.took),
			failed(r.kind(load.NewConnection)), failed(r.kind(load.KeepAlive)), harness.Millis(r.load.All.Gap.Length()),
			r.timeline.LeaderChanges, r.timeline.FewestVoters, len(r.verified.Lost))
		if i > 0 {
			fmt.Fprintln(w, r.against(results[0]))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, `
× is the multiple of (%s): of the duration, of the share of failed writes, of the gap, of the leader changes. ≥ where the
first had no failure and is counted as if it had one. LOST are acknowledged writes that were not there in the end.
The load aims at %d writes/s and achieved`, results[0].letter, o.rate)
	for _, r := range results {
		fmt.Fprintf(out, " (%s) %d", r.letter, int(r.load.Rate()))
	}
	fmt.Fprintln(out)
	return nil
}

func (r result) kind(kind load.Kind) load.Totals { return r.load.Kinds[kind] }

// against is the line of ratios.
func (r result) against(first result) string {
	return fmt.Sprintf("    × (%s)\t%s\t%s\t%s\t%s\t%s\t\t", first.letter,
		times(r.took.Seconds(), first.took.Seconds()),
		timesFailed(r.kind(load.NewConnection), first.kind(load.NewConnection)),
		timesFailed(r.kind(load.KeepAlive), first.kind(load.KeepAlive)),
		times(gap(r), gap(first)),
		times(float64(r.timeline.LeaderChanges), float64(first.timeline.LeaderChanges)))
}

func gap(r result) float64 { return max(r.load.All.Gap.Length(), time.Microsecond).Seconds() }

func failed(t load.Totals) string {
	text := fmt.Sprintf("%s of %s", harness.Number(t.Failed), harness.Number(t.Attempts()))
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
		return "× " + harness.Number(int(ratio))
	}
	return fmt.Sprintf("× %.2g", ratio)
}
