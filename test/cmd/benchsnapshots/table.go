package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/consul-operator/consul-operator/test/lib/report"
)

// printTable prints a line for each size, as Markdown.
func printTable(out io.Writer, o options, results []result) error {
	fmt.Fprintf(out, "\nConsul %s, 3 servers, encrypted with age, to an object store beside it\n\n", o.consul)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	columns := []string{
		"KV store", "object", "saved", "saved and verified by a restore", "restored in place", "a new cluster is Ready with it",
		"memory to save, verify and restore",
	}
	row := func(cells ...string) { fmt.Fprintf(w, "| %s\t|\n", strings.Join(cells, "\t| ")) }
	row(columns...)
	fmt.Fprintln(w, strings.Repeat("|---\t", len(columns))+"|")
	for _, r := range results {
		row(fmt.Sprintf("%d MiB", r.size), r.saved.Size, report.Seconds(r.save), report.Seconds(r.verify), report.Seconds(r.restore),
			report.Seconds(r.begun), fmt.Sprintf("%d, %d and %d MiB", r.savePeak>>20, r.verifyPeak>>20, r.restorePeak>>20))
	}
	return w.Flush()
}
