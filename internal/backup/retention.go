package backup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// Surplus returns which snapshots of a schedule need not be kept, the oldest first. The last good one is always kept, and so is
// one that is not completed. Those that failed go when a good one is newer. Ages are counted back from the last good one: no
// clock that is wrong deletes anything.
func Surplus(
	snapshots []v1alpha1.ConsulSnapshot, retention *v1alpha1.SnapshotRetention, zone *time.Location,
) []v1alpha1.ConsulSnapshot {
	if retention == nil {
		return nil
	}
	var good, bad []v1alpha1.ConsulSnapshot // the newest first
	for _, s := range slices.SortedFunc(slices.Values(snapshots), NewestFirst) {
		switch {
		case s.Status.CompletedAt == nil || !s.DeletionTimestamp.IsZero():
		case s.Status.Verified != "":
			good = append(good, s)
		default:
			bad = append(bad, s)
		}
	}
	if len(good) == 0 {
		return nil
	}
	keep := kept(good, retention, zone)
	surplus := slices.DeleteFunc(slices.Clone(good), func(s v1alpha1.ConsulSnapshot) bool { return keep[s.Name] })
	for _, s := range bad {
		if takenAt(s).Before(takenAt(good[0])) {
			surplus = append(surplus, s)
		}
	}
	slices.SortFunc(surplus, func(a, b v1alpha1.ConsulSnapshot) int { return NewestFirst(b, a) })
	return surplus
}

// kept are the names of those that are kept.
func kept(good []v1alpha1.ConsulSnapshot, r *v1alpha1.SnapshotRetention, zone *time.Location) map[string]bool {
	keep := map[string]bool{good[0].Name: true}
	for i, s := range good {
		if i < int(r.Last) || r.Age != nil && takenAt(good[0]).Sub(takenAt(s)) <= r.Age.Duration {
			keep[s.Name] = true
		}
	}
	for _, periods := range []struct {
		most int32
		of   func(time.Time) string
	}{
		{r.Daily, func(at time.Time) string { return at.Format(time.DateOnly) }},
		{r.Weekly, func(at time.Time) string { year, week := at.ISOWeek(); return fmt.Sprintf("%d/%d", year, week) }},
		{r.Monthly, func(at time.Time) string { return at.Format("2006-01") }},
	} {
		seen := map[string]bool{}
		for _, s := range good {
			period := periods.of(takenAt(s).In(zone))
			if !seen[period] && len(seen) < int(periods.most) {
				seen[period], keep[s.Name] = true, true
			}
		}
	}
	return keep
}

// takenAt is when a snapshot was taken: when its Job was created.
func takenAt(s v1alpha1.ConsulSnapshot) time.Time {
	if s.Status.StartedAt != nil {
		return s.Status.StartedAt.Time
	}
	return s.CreationTimestamp.Time
}

// NewestFirst orders snapshots by when they were taken.
func NewestFirst(a, b v1alpha1.ConsulSnapshot) int {
	if order := takenAt(b).Compare(takenAt(a)); order != 0 {
		return order
	}
	return strings.Compare(b.Name, a.Name)
}
