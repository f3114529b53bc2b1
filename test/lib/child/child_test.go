package child

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
	p, err := Start(log, "/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done")
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(func() string { text, _ := os.ReadFile(log); return string(text) }, "5s").Should(Equal("up\n"))
	p.Stop(100 * time.Millisecond)
	g.Expect(p.Exited()).To(BeClosed())
	g.Expect(p.ExitExpected()).To(BeTrue())
	g.Expect(p.ExitCode()).To(Equal(-1))
	p.Kill() // Ending it twice is no mistake.

	_, err = Start(log, filepath.Join(t.TempDir(), "missing"))
	g.Expect(err).To(HaveOccurred())
}

func TestAnExitThatNobodyExpects(t *testing.T) {
	g := NewWithT(t)
	p, err := Start(filepath.Join(t.TempDir(), "log"), "/bin/true")
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(p.Exited(), "5s").Should(BeClosed())
	g.Expect(p.Runs()).To(BeFalse())
	g.Expect(p.ExitExpected()).To(BeFalse())
	g.Expect(p.ExitCode()).To(BeZero())
}
