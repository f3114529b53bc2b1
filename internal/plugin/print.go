package plugin

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// addOutput adds the flag for the form of what is printed.
func addOutput(cmd *cobra.Command, output *string, wide bool) {
	forms := []string{"json", "yaml"}
	if wide {
		forms = append(forms, "wide")
	}
	last := len(forms) - 1
	cmd.Flags().StringVarP(output, "output", "o", "",
		fmt.Sprintf("%s or %s; text for people by default", strings.Join(forms[:last], ", "), forms[last]))
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

// printObject prints an object, or a list, as the API server has it.
func printObject(out io.Writer, o runtime.Object, output string) error {
	shown := o.DeepCopyObject()
	if err := withKind(shown); err != nil {
		return err
	}
	if list, isList := shown.(*v1alpha1.ConsulSnapshotList); isList {
		for i := range list.Items {
			if err := withKind(&list.Items[i]); err != nil {
				return err
			}
		}
	}
	if output == "json" {
		return (&printers.JSONPrinter{}).PrintObj(shown, out)
	}
	return (&printers.YAMLPrinter{}).PrintObj(shown, out)
}

// withKind names the kind of an object, which clients leave out, and takes away what only the API server needs.
func withKind(o runtime.Object) error {
	kind, err := apiutil.GVKForObject(o, scheme())
	if err != nil {
		return err
	}
	o.GetObjectKind().SetGroupVersionKind(kind)
	if object, is := o.(metav1.Object); is {
		object.SetManagedFields(nil)
	}
	return nil
}

// kindOf is the kind of an object, as people write it.
func kindOf(o runtime.Object) string {
	kind, err := apiutil.GVKForObject(o, scheme())
	if err != nil {
		return "object" // none of the kinds that the plugin reads
	}
	return kind.Kind
}
