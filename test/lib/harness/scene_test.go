package harness

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/observer"
)

func TestOnlyLongFaultsExcuseALostLock(t *testing.T) {
	unrenewed := &load.SessionEnded{Unrenewed: load.LockTTL + time.Second}
	for name, test := range map[string]struct {
		lost      error
		disturbed time.Duration
		fate      string
	}{
		"held":                           {nil, time.Minute, "kept"},
		"unrenewed, amid faults":         {unrenewed, load.LockTTL, "given up"},
		"unrenewed, without faults":      {unrenewed, 0, "lost"},
		"unrenewed, after a short fault": {unrenewed, load.LockTTL - time.Second, "lost"},
		"renewed in time, amid faults":   {&load.SessionEnded{Unrenewed: time.Second}, time.Minute, "lost"},
		"taken by another, amid faults":  {errors.New("somebody else holds it"), time.Minute, "lost"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o := Outcome{LockLost: test.lost, Timeline: observer.Timeline{Disturbed: test.disturbed}}
			g.Expect(o.LockFate()).To(Equal(test.fate))
			g.Expect(o.LockBroken() != nil).To(Equal(test.fate == "lost"))
		})
	}
}
