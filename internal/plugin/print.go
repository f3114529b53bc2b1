package plugin

import (
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// addOutput adds the flag for the form of what is printed.
func addOutput(cmd *cobra.Command, output *string, wide bool) {
	forms := []string{"json", "yaml"}
	if wide {
		forms = append(forms, "wide")
	}
	cmd.Flags().StringVarP(output, "output", "o", "", "json, yaml or wide; text for people by default")
	complete := cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp)
	_ = cmd.RegisterFlagCompletionFunc("output", complete) // the flag exists
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		for _, form := range append(forms, "") {
			if *output == form {
				if before == nil {
					return nil
				}
				return before(cmd, args)
			}
		}
		return usage("-o %s: it is one of %v", *output, forms)
	}
}

// printObject prints a cluster as the API server has it.
func printObject(out io.Writer, c *v1alpha1.ConsulCluster, output string) error {
	shown := c.DeepCopy()
	shown.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ConsulCluster"))
	shown.ManagedFields = nil
	if output == "json" {
		return (&printers.JSONPrinter{}).PrintObj(shown, out)
	}
	return (&printers.YAMLPrinter{}).PrintObj(shown, out)
}
