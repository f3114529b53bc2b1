package backup

import (
	"errors"
	"fmt"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// mostMissed is how many runs are counted that were missed: a schedule may have been suspended for years.
const mostMissed = 1000

// Times are the times of a schedule.
type Times struct {
	cron cron.Schedule
	zone *time.Location
}

// ParseTimes returns the times of a schedule; the error names the field.
func ParseTimes(spec v1alpha1.ConsulSnapshotScheduleSpec, now time.Time) (Times, error) {
	zone, err := time.LoadLocation(spec.TimeZone)
	if err != nil {
		return Times{}, fmt.Errorf("spec.timeZone: %w", err)
	}
	parsed, err := cron.ParseStandard(spec.Schedule)
	if err != nil {
		return Times{}, fmt.Errorf("spec.schedule: %w", err)
	}
	if parsed.Next(now.In(zone)).IsZero() { // such as February 30
		return Times{}, errors.New("spec.schedule: there is no such day")
	}
	return Times{parsed, zone}, nil
}

// Interval is the time between two runs of a schedule: the longer of the last interval and the present one, since a weekend is
// longer than a day. It is 0 if there are none.
func Interval(spec v1alpha1.ConsulSnapshotScheduleSpec, now time.Time) time.Duration {
	times, err := ParseTimes(spec, now)
	if err != nil || spec.Suspend {
		return 0
	}
	last := times.lastBefore(now)
	return max(last.Sub(times.lastBefore(last.Add(-time.Second))), times.Next(now).Sub(last))
}

// Next is the first time after another one.
func (t Times) Next(after time.Time) time.Time { return t.cron.Next(after.In(t.zone)) }

// Due is the last time after one and until another one, and how many came before it; zero if there is none.
func (t Times) Due(after, until time.Time) (last time.Time, before int) {
	for next := t.Next(after); !next.After(until); next = t.Next(next) {
		if !last.IsZero() {
			before++
		}
		last = next
		if before == mostMissed { // a schedule that was suspended for long
			return t.lastBefore(until), before
		}
	}
	return last, before
}

// lastBefore is the last time until another one.
func (t Times) lastBefore(until time.Time) time.Time {
	for back := time.Minute; ; back *= 2 {
		var last time.Time
		for next := t.Next(until.Add(-back)); !next.After(until); next = t.Next(next) {
			last = next
		}
		if !last.IsZero() {
			return last
		}
	}
}

// SnapshotName is the name of the snapshot of a schedule for a time.
func SnapshotName(schedule string, at time.Time) string {
	return schedule + at.UTC().Format("-20060102-1504")
}
