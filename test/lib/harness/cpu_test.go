package harness

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestWhoseProcessorTimeCounts(t *testing.T) {
	g := NewWithT(t)
	g.Expect(isAgentIn("/run/a", []string{"consul", "agent", "-data-dir=/run/a/volumes/1"})).To(BeTrue())
	g.Expect(isAgentIn("/run/a", []string{"consul", "agent", "-data-dir=/run/ab/volumes/1"})).To(BeFalse(), "of another environment")
	g.Expect(isAgentIn("/run/a", []string{"consul", "members"})).To(BeFalse())
	g.Expect(isAgentIn("/run/a", []string{"consul-operator", "--kubeconfig=/run/a/x"})).To(BeFalse())
	g.Expect(isAgentIn("/run/a", nil)).To(BeFalse(), "a kernel thread")
}
