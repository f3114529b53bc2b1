package sim

import (
	"flag"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"
)

// A part of what `make sim` visits.
var bounded = flag.Int("states", 3000, "how many states of each scenario are visited")

func TestEveryStateKeepsTheInvariants(t *testing.T) {
	var states, transitions atomic.Int64
	t.Run("scenarios", func(t *testing.T) {
		for _, scenario := range Scenarios() {
			t.Run(scenario.Name, func(t *testing.T) {
				t.Parallel()
				result := Explore(scenario, *bounded)
				states.Add(int64(result.States))
				transitions.Add(int64(result.Transitions))
				NewWithT(t).Expect(result.Violation).To(BeNil(), result.Story())
			})
		}
	})
	t.Logf("%d distinct states, %d transitions", states.Load(), transitions.Load())
}
