package stack

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestBaseline(t *testing.T) {
	for _, story := range scenarios() {
		t.Run(story.name, func(t *testing.T) {
			start := time.Now()
			o := play(t, story, settings{})
			t.Logf("%d effects, %d passes, %s\n%s\n%s", len(o.effects), o.passes, time.Since(start), o.End, o.Cost)
			NewWithT(t).Expect(o.violations).To(BeEmpty(), o.trace)
		})
	}
}
