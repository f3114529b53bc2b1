package main

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// boundedFor is enough for some faults of each run to be others. `make chaos` goes on for longer.
const boundedFor = 20 * time.Second

func TestChaosForAWhile(t *testing.T) {
	NewWithT(t).Expect(run(t.Context(), options{duration: boundedFor, seed: newSeed()}, os.Stdout)).To(Succeed())
}
