package sim

import (
	"testing"

	. "github.com/onsi/gomega"
)

// bounded is how many states of each scenario are visited in a test; `make sim` visits all.
const bounded = 4000

func TestEveryStateKeepsTheInvariants(t *testing.T) {
	states, transitions := 0, 0
	t.Run("scenarios", func(t *testing.T) {
		for _, scenario := range Scenarios() {
			t.Run(scenario.Name, func(t *testing.T) {
				result := Explore(scenario, bounded)
				states, transitions = states+result.States, transitions+result.Transitions
				NewWithT(t).Expect(result.Violation).To(BeNil(), result.Story())
			})
		}
	})
	t.Logf("%d distinct states, %d transitions", states, transitions)
}
