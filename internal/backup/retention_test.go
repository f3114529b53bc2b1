package backup_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/backup"
)

// everySixHours are snapshots of a hundred days, the last one at noon.
func everySixHours() (all []v1alpha1.ConsulSnapshot) {
	for i := range 400 {
		when := noon.Add(-time.Duration(i) * 6 * time.Hour)
		all = append(all, taken(when.Format("01-02T15"), when))
	}
	return all
}

func keptOf(t *testing.T, all []v1alpha1.ConsulSnapshot, r v1alpha1.SnapshotRetention, zone *time.Location) []string {
	t.Helper()
	gone := map[string]bool{}
	for _, s := range backup.Surplus(all, &r, zone) {
		gone[s.Name] = true
	}
	var kept []string
	for _, s := range all {
		if !gone[s.Name] {
			kept = append(kept, s.Name)
		}
	}
	return kept
}

func TestRetention(t *testing.T) {
	days := func(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * 24 * time.Hour} }
	for name, c := range map[string]struct {
		r    v1alpha1.SnapshotRetention
		kept []string
	}{
		"the last three": {v1alpha1.SnapshotRetention{Last: 3}, []string{"12-01T12", "12-01T06", "12-01T00"}},
		"of half a day": {
			v1alpha1.SnapshotRetention{Age: &metav1.Duration{Duration: 12 * time.Hour}}, []string{"12-01T12", "12-01T06", "12-01T00"},
		},
		"daily":   {v1alpha1.SnapshotRetention{Daily: 3}, []string{"12-01T12", "11-30T18", "11-29T18"}},
		"weekly":  {v1alpha1.SnapshotRetention{Weekly: 3}, []string{"12-01T12", "11-29T18", "11-22T18"}},
		"monthly": {v1alpha1.SnapshotRetention{Monthly: 3}, []string{"12-01T12", "11-30T18", "10-31T18"}},
		"of each": {
			v1alpha1.SnapshotRetention{Last: 1, Daily: 2, Weekly: 2, Monthly: 2}, []string{"12-01T12", "11-30T18", "11-29T18"},
		},
		"all of a year": {v1alpha1.SnapshotRetention{Age: days(365)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			kept := keptOf(t, everySixHours(), c.r, time.UTC)
			if c.kept == nil {
				g.Expect(kept).To(HaveLen(400))
				return
			}
			g.Expect(kept).To(Equal(c.kept))
		})
	}
}

// A day is one of the schedule's time zone.
func TestRetentionByTimeZone(t *testing.T) {
	g := NewWithT(t)
	zone, err := time.LoadLocation("Pacific/Auckland") // 13 hours ahead in December
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(keptOf(t, everySixHours(), v1alpha1.SnapshotRetention{Daily: 2}, zone)).To(Equal([]string{"12-01T12", "12-01T06"}))
}

// The last good one stays, however old it is, and what failed tells of itself until a good one is newer.
func TestRetentionKeepsTheLastGoodOne(t *testing.T) {
	g := NewWithT(t)
	year := noon.AddDate(-1, 0, 0)
	hour := v1alpha1.SnapshotRetention{Age: &metav1.Duration{Duration: time.Hour}}
	var all []v1alpha1.ConsulSnapshot
	for i := range 3 {
		all = append(all, broken(fmt.Sprintf("bad-%d", i), noon.Add(-time.Duration(i)*time.Hour)))
	}
	g.Expect(keptOf(t, all, hour, time.UTC)).To(HaveLen(3), "there is no good one")
	all = append(all, taken("good", year), taken("older", year.Add(-2*time.Hour)), broken("older-bad", year.Add(-2*time.Hour)),
		going("going", year.Add(-3*time.Hour)))
	g.Expect(keptOf(t, all, hour, time.UTC)).To(Equal([]string{"bad-0", "bad-1", "bad-2", "good", "going"}))
	two := []v1alpha1.ConsulSnapshot{taken("good", year), taken("before", year.Add(-time.Hour))}
	g.Expect(keptOf(t, two, hour, time.UTC)).To(HaveLen(2), "ages are not counted from today, which a wrong clock may call any day")
	g.Expect(backup.Surplus(all, nil, time.UTC)).To(BeEmpty(), "without a retention all are kept")
}
