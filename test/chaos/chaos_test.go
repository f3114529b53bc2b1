package main

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// boundedFor is long enough for each kind of fault to be drawn about once. `make chaos` goes on for longer.
const boundedFor = 75 * time.Second

func TestChaosForAWhile(t *testing.T) {
	NewWithT(t).Expect(run(t.Context(), options{duration: boundedFor, seed: newSeed()}, os.Stdout)).To(Succeed())
}
