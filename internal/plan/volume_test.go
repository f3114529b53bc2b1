package plan_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/internal/plan"
)

const gib = 1 << 30

// A volume grows before it is full, by a quarter in whole GiB, and is not asked for more while it has not grown.
func TestVolumesGrow(t *testing.T) {
	volume := func(requested, used, capacity int64) plan.Volume {
		return plan.Volume{Requested: requested, Used: used, Capacity: capacity}
	}
	growing := volume(10*gib, 9*gib, 10*gib)
	growing.Growing = true
	for what, test := range map[string]struct {
		volume plan.Volume
		limit  int64
		to     int64 // 0 if it stays
	}{
		"it has room":                    {volume(10*gib, 7*gib, 10*gib), 100 * gib, 0},
		"it fills up":                    {volume(10*gib, 8*gib, 10*gib), 100 * gib, 13 * gib},
		"a small one":                    {volume(gib/2, gib/2, gib/2), 100 * gib, gib/2 + gib},
		"up to the limit":                {volume(10*gib, 8*gib, 10*gib), 12 * gib, 12 * gib},
		"not beyond it":                  {volume(10*gib, 8*gib, 10*gib), 10 * gib, 0},
		"nor back to it":                 {volume(10*gib, 8*gib, 10*gib), 5 * gib, 0},
		"nobody asked for it":            {volume(10*gib, 8*gib, 10*gib), 0, 0},
		"it is not known":                {volume(10*gib, 0, 0), 100 * gib, 0},
		"the volume has not grown":       {growing, 100 * gib, 0},
		"its file system has not":        {volume(13*gib, 9*gib, 10*gib), 100 * gib, 0},
		"its file system needs a little": {volume(10*gib, 8*gib, 98*gib/10), 100 * gib, 13 * gib},
	} {
		t.Run(what, func(t *testing.T) {
			var wanted []plan.Action
			if test.to > 0 {
				wanted = []plan.Action{plan.GrowVolume{Server: "consul-1", Bytes: test.to}}
			}
			d := plan.Plan(healthy(func(o *plan.Observation) {
				o.Servers[1].Volume, o.Spec.GrowUpTo = test.volume, test.limit
			}), noon)
			NewWithT(t).Expect(d.Upkeep).To(Equal(wanted))
		})
	}
}
