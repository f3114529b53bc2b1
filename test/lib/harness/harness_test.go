package harness

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestMissingProgramsAreNamed(t *testing.T) {
	g := NewWithT(t)
	g.Expect(CheckPrograms()).To(Succeed())
	g.Expect(CheckPrograms("no-such-a", "no-such-b")).To(MatchError(ContainSubstring("no-such-a no-such-b")))
}

func TestTheSampleIsValid(t *testing.T) {
	g := NewWithT(t)
	cluster, err := Sample()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(cluster.Name).To(Equal("consul"))
	g.Expect(cluster.Spec.Replicas).To(BeNumerically(">=", 1))
}
