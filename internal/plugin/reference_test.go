package plugin

import (
	"testing"

	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// Each command says which rights it needs, and there are no rights of commands that do not exist.
func TestEachCommandHasItsRights(t *testing.T) {
	g := NewWithT(t)
	var names []string
	var visit func(*cobra.Command)
	visit = func(command *cobra.Command) {
		for _, sub := range command.Commands() {
			visit(sub)
		}
		if !command.HasSubCommands() {
			names = append(names, nameOf(command))
		}
	}
	visit(newRoot(genericiooptions.NewTestIOStreamsDiscard(), ""))
	var known []any
	for name := range rights {
		known = append(known, name)
	}
	g.Expect(names).To(ConsistOf(known...))
}
