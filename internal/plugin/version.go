package plugin

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

func (s *session) versionCommand() *cobra.Command {
	only := false
	cmd := &cobra.Command{
		Use: "version", Args: noArgs, Short: "Show the versions of plugin, operator and clusters",
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintf(s.Out, "plugin    %s (%s/%s, %s)\n", s.version, runtime.GOOS, runtime.GOARCH, runtime.Version())
			if only {
				return nil
			}
			if err := s.connect(); err != nil {
				return err
			}
			operators, err := s.operators(cmd.Context())
			if err != nil {
				fmt.Fprintf(s.ErrOut, "the operator is not shown: %v\n", err)
			}
			for _, operator := range operators {
				for _, container := range operator.Spec.Containers {
					fmt.Fprintf(s.Out, "operator  %s (%s/%s)\n", container.Image, operator.Namespace, operator.Name)
				}
			}
			var clusters v1alpha1.ConsulClusterList
			if err := s.client.List(cmd.Context(), &clusters, client.InNamespace(s.key.Namespace)); err != nil {
				return explained(err)
			}
			slices.SortFunc(clusters.Items, func(a, b v1alpha1.ConsulCluster) int { return cmp.Compare(a.Name, b.Name) })
			for _, c := range clusters.Items {
				fmt.Fprintf(s.Out, "cluster   Consul %s (%s/%s)\n", dash(c.Status.Version), c.Namespace, c.Name)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&only, "client", false, "the version of the plugin only")
	return cmd
}
