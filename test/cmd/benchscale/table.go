package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/consul-operator/consul-operator/test/lib/report"
)

// results are what the phases have measured.
type results struct {
	created       time.Duration
	afterCreation process
	idle, touched counted
	idleFor       time.Duration
	restarted     time.Duration
	afterRestart  counted
	without, with []time.Duration
	upgrade       counted
	upgradeFor    time.Duration
}

// The goals, for 1,000 clusters of 3 servers.
const (
	goalMemory    = 200 << 20
	goalRestart   = time.Minute
	goalReconcile = 50 * time.Millisecond
	goalMedian    = time.Second
	goalP99       = 5 * time.Second
)

// table has a line for each result, and says whether its goal is met.
func (r *results) table(o options) string {
	t := report.New(44, fmt.Sprintf("%s of %s", report.Count(o.clusters, "ConsulCluster"), report.Count(o.servers, "server")))
	line := func(name, value, goal string, met bool) {
		verdict := "missed"
		if met {
			verdict = "met"
		}
		t.Line(name, "%-28s goal: %s, %s", value, goal, verdict)
	}
	slices.Sort(r.without)
	slices.Sort(r.with)
	perCluster := float64(r.idle.calls) / float64(o.clusters) / r.idleFor.Minutes()
	reconciles := int(r.touched.reconciles.count())
	t.Line("created, until all are settled", "%s, %.1f a second", report.Seconds(r.created), float64(o.clusters)/r.created.Seconds())
	line("memory, idle", megabytes(r.idle.process.rss), megabytes(goalMemory), r.idle.process.rss < goalMemory)
	t.Line("memory at most, of all and after a restart", "%s, %s", megabytes(r.afterCreation.peak), megabytes(r.afterRestart.process.peak))
	line("API writes, idle", report.Number(r.idle.apiWrites), "0", r.idle.apiWrites == 0)
	t.Line("agent calls, idle", "%.2f a minute and cluster", perCluster)
	t.Line("CPU, idle", "%.1f %% of a core", 100*r.idle.process.cpu.Seconds()/r.idleFor.Seconds())
	p99 := r.touched.reconciles.atMost(0.99)
	line("reconcile with nothing to do, p99 at most", report.Millis(p99), report.Millis(goalReconcile), p99 <= goalReconcile)
	t.Line("  of them, CPU and agent calls of each", "%s, %s, %.1f", report.Number(reconciles),
		report.Millis(r.touched.process.cpu/time.Duration(max(1, reconciles))), float64(r.touched.calls)/float64(max(1, reconciles)))
	line("settled after a restart", report.Seconds(r.restarted), report.Seconds(goalRestart), r.restarted < goalRestart)
	t.Line("  CPU, reconciles, API writes", "%s, %s, %s", report.Seconds(r.afterRestart.process.cpu),
		report.Number(int(r.afterRestart.reconciles.count())), report.Number(r.afterRestart.operatorWrites))
	median, most := quantile(r.with, 0.5), quantile(r.with, 0.99)
	line(fmt.Sprintf("first step, %d %% hung, median", o.hung), report.Millis(median), report.Millis(goalMedian), median < goalMedian)
	line(fmt.Sprintf("first step, %d %% hung, p99", o.hung), report.Millis(most), report.Millis(goalP99), most < goalP99)
	t.Line("  of none hung, median and p99", "%s, %s: × %.1f, × %.1f", report.Millis(quantile(r.without, 0.5)),
		report.Millis(quantile(r.without, 0.99)), ratio(median, quantile(r.without, 0.5)), ratio(most, quantile(r.without, 0.99)))
	leases := float64(r.idle.revision) / r.idleFor.Seconds() * r.upgradeFor.Seconds()
	t.Line("etcd writes, one upgrade", "%.0f (and %.0f that an idle API server makes meanwhile)", float64(r.upgrade.revision)-leases, leases)
	t.Line("  API writes of the operator, agent calls", "%s, %s", report.Number(r.upgrade.operatorWrites), report.Number(r.upgrade.calls))
	return t.String()
}

func megabytes(bytes int) string { return fmt.Sprintf("%d MiB", bytes>>20) }

func ratio(a, b time.Duration) float64 { return a.Seconds() / max(b, time.Microsecond).Seconds() }
