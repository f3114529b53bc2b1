package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

// perLeader is how many writes with new connections failed for each time that the leader changed. Those of connections that are
// kept fail when their server goes, whoever leads.
func perLeader(r result) string {
	if r.Timeline.LeaderChanges == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(r.Load.Kinds[load.NewConnection].Failed)/float64(r.Timeline.LeaderChanges))
}

// printTable prints a line for each change, as Markdown.
func printTable(out io.Writer, o options, results []result) error {
	fmt.Fprintf(out, "\nConsul %s, %s, up to %d writes/s\n\n", o.consul, report.Count(o.replicas, "server"), o.rate)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	columns := []string{
		"change", "took", "servers replaced", "leader changes", "failed, new connections", "for each leader change",
		"failed, kept connections", "longest gap", "lost", "lock", "stalls",
	}
	row := func(cells ...string) { fmt.Fprintf(w, "| %s\t|\n", strings.Join(cells, "\t| ")) }
	row(columns...)
	fmt.Fprintln(w, strings.Repeat("|---\t", len(columns))+"|")
	for _, r := range results {
		fresh, kept := r.Load.Kinds[load.NewConnection], r.Load.Kinds[load.KeepAlive]
		row(r.what, report.Seconds(r.took), strconv.Itoa(r.replaced), strconv.Itoa(r.Timeline.LeaderChanges),
			report.Of(fresh.Failed, fresh.Attempts()), perLeader(r), report.Of(kept.Failed, kept.Attempts()),
			report.Millis(r.Load.All.Gap.Length()), strconv.Itoa(len(r.Verified.Lost)), r.LockFate(),
			strconv.Itoa(r.Timeline.Stalls.Count))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprint(out, `
Clients use HTTPS from "HTTPS only" on. A changed Secret is in the pods after 5 s here (the operator's --secret-delay; two
minutes by default), and a former authority is believed for one second (caGracePeriod; a day by default).
`)
	return nil
}
