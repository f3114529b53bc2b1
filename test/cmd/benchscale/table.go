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
	t := report.New(44, o.subject())
	t.Line("created, until all are settled", "%s, %.1f a second", report.Seconds(r.created), float64(o.clusters)/r.created.Seconds())
	r.tellSize(t, o)
	r.tellReconciles(t)
	r.tellReaction(t, o)
	r.tellUpgrade(t)
	return t.String()
}

// judged adds a line with a goal.
func judged(t *report.Report, name, value, goal string, met bool) {
	verdict := "missed"
	if met {
		verdict = "met"
	}
	t.Line(name, "%-12s goal: %s, %s", value, goal, verdict)
}

func (r *results) tellSize(t *report.Report, o options) {
	judged(t, "memory, idle", megabytes(r.idle.process.rss), megabytes(goalMemory), r.idle.process.rss < goalMemory)
	t.Line("  heap, stacks, goroutines", "%s, %s, %s",
		megabytes(r.idle.heap), megabytes(r.idle.stacks), report.Number(r.idle.goroutines))
	t.Line("  at most, of the creation and a restart", "%s, %s",
		megabytes(r.afterCreation.peak), megabytes(r.afterRestart.process.peak))
	judged(t, "API writes, idle", report.Number(r.idle.apiWrites), "0", r.idle.apiWrites == 0)
	t.Line("  agent calls", "%.2f a minute and cluster", float64(r.idle.calls)/float64(o.clusters)/r.idleFor.Minutes())
	t.Line("  CPU", "%.1f %% of a core", 100*r.idle.process.cpu.Seconds()/r.idleFor.Seconds())
}

func (r *results) tellReconciles(t *report.Report) {
	number, p99 := int(r.touched.reconciles.count()), r.touched.reconciles.atMost(0.99)
	judged(t, "reconcile with nothing to do, p99 at most", report.Millis(p99), report.Millis(goalReconcile), p99 <= goalReconcile)
	t.Line("  of them, CPU and agent calls of each", "%s, %s, %.1f", report.Number(number),
		report.Millis(r.touched.process.cpu/time.Duration(max(1, number))), float64(r.touched.calls)/float64(max(1, number)))
	judged(t, "settled after a restart", report.Seconds(r.restarted), report.Seconds(goalRestart), r.restarted < goalRestart)
	t.Line("  CPU, reconciles, API writes", "%s, %s, %s", report.Seconds(r.afterRestart.process.cpu),
		report.Number(int(r.afterRestart.reconciles.count())), report.Number(r.afterRestart.operatorWrites))
}

func (r *results) tellReaction(t *report.Report, o options) {
	slices.Sort(r.without)
	slices.Sort(r.with)
	median, p99 := quantile(r.with, 0.5), quantile(r.with, 0.99)
	usual, usualP99 := quantile(r.without, 0.5), quantile(r.without, 0.99)
	name := fmt.Sprintf("first step, %d %% hung, ", o.hung)
	judged(t, name+"median", report.Millis(median), report.Millis(goalMedian), median < goalMedian)
	judged(t, name+"p99", report.Millis(p99), report.Millis(goalP99), p99 < goalP99)
	t.Line("  none hung, median and p99", "%s and %s, so × %.1f and × %.1f", report.Millis(usual), report.Millis(usualP99),
		ratio(median, usual), ratio(p99, usualP99))
}

func (r *results) tellUpgrade(t *report.Report) {
	others := float64(r.idle.revision) / r.idleFor.Seconds() * r.upgradeFor.Seconds()
	t.Line("etcd writes, one upgrade", "%.0f, and %.0f that an idle API server makes meanwhile",
		float64(r.upgrade.revision)-others, others)
	t.Line("  API writes of the operator, agent calls", "%s, %s",
		report.Number(r.upgrade.operatorWrites), report.Number(r.upgrade.calls))
}

func megabytes(bytes int) string { return fmt.Sprintf("%d MiB", bytes>>20) }

func ratio(a, b time.Duration) float64 { return a.Seconds() / max(b, time.Microsecond).Seconds() }
