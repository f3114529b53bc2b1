package main

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// A few clusters, and all that is done to a thousand of them.
func TestAFewClusters(t *testing.T) {
	for name, open := range map[string]bool{"secure": false, "open": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options{
				clusters: 5, servers: 3, hung: 20, samples: 1, turns: 1, idle: time.Second, pace: 20, open: open, profiles: t.TempDir(),
			}
			NewWithT(t).Expect(run(t.Context(), o, os.Stdout)).To(Succeed())
		})
	}
}
