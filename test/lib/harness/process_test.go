package harness

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestAProcessIsStoppedByForceIfNeedBe(t *testing.T) {
	g := NewWithT(t)
	log := filepath.Join(t.TempDir(), "log")
	p, err := startProcess("/bin/sh", []string{"-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"}, log)
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(func() string { text, _ := os.ReadFile(log); return string(text) }, "5s").Should(Equal("up\n"))
	p.stop(100 * time.Millisecond)
	g.Expect(p.exited).To(BeClosed())
	p.kill() // Ending it twice is no mistake.

	_, err = startProcess(filepath.Join(t.TempDir(), "missing"), nil, log)
	g.Expect(err).To(HaveOccurred())
}

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
