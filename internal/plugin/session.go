package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// session is one run of the plugin.
type session struct {
	genericiooptions.IOStreams
	flags   *genericclioptions.ConfigFlags
	version string

	config *rest.Config
	client client.WithWatch
	key    client.ObjectKey
}

// on completes a session for the cluster that the arguments name first, and returns the other arguments.
func (s *session) on(ctx context.Context, args []string) error {
	if err := s.connect(); err != nil {
		return err
	}
	if len(args) > 0 {
		s.key.Name = args[0]
		return nil
	}
	return s.findOnly(ctx)
}

// connect reads whom to talk to, and in which namespace.
func (s *session) connect() error {
	config, err := s.flags.ToRESTConfig()
	if err != nil {
		return err
	}
	if s.key.Namespace, _, err = s.flags.ToRawKubeConfigLoader().Namespace(); err != nil {
		return err
	}
	s.config = config
	s.client, err = client.NewWithWatch(config, client.Options{Scheme: scheme()})
	return err
}

func scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // Two types of one name: a mistake in the code.
		}
	}
	return scheme
}

// findOnly takes the only cluster of the namespace.
func (s *session) findOnly(ctx context.Context) error {
	var clusters v1alpha1.ConsulClusterList
	if err := s.client.List(ctx, &clusters, client.InNamespace(s.key.Namespace)); err != nil {
		return explained(err)
	}
	switch len(clusters.Items) {
	case 0:
		return fmt.Errorf("there is no ConsulCluster in namespace %s (another namespace: -n)", s.key.Namespace)
	case 1:
		s.key.Name = clusters.Items[0].Name
		return nil
	}
	var names []string
	for _, c := range clusters.Items {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return usage("there are several ConsulClusters in namespace %s, name one: %s", s.key.Namespace, strings.Join(names, ", "))
}

// cluster reads the cluster.
func (s *session) cluster(ctx context.Context) (*v1alpha1.ConsulCluster, error) {
	c := &v1alpha1.ConsulCluster{}
	if err := s.client.Get(ctx, s.key, c); err != nil {
		return nil, explained(err)
	}
	return c, nil
}

// explained adds what to do to an error of the API server that many meet.
func explained(err error) error {
	var kinds *meta.NoKindMatchError
	switch {
	case errors.As(err, &kinds):
		return fmt.Errorf("this Kubernetes cluster does not have the CRDs of consul-operator: install the operator first (%w)", err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w; `kubectl consul` uses your own rights", err)
	}
	return err
}

// effect is whether the API server keeps a change, or only judges it.
type effect []string

var (
	forReal effect
	judged  = effect{metav1.DryRunAll}
)

// change patches the cluster as a person would, so that the API server judges it, and returns what it was before.
func (s *session) change(
	ctx context.Context, kept effect, change func(*v1alpha1.ConsulCluster),
) (before *v1alpha1.ConsulCluster, err error) {
	if before, err = s.cluster(ctx); err != nil {
		return nil, err
	}
	changed := before.DeepCopy()
	change(changed)
	options := &client.PatchOptions{FieldManager: "kubectl-consul", DryRun: kept}
	return before, explained(s.client.Patch(ctx, changed, client.MergeFrom(before), options))
}

// isTerminal reports whether a person looks at what is printed.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) //nolint:gosec // a file descriptor is small
}

// noArgs is for commands that take none.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("it takes no arguments: %s", strings.Join(args, " "))
	}
	return nil
}

// clusterArgs is for commands that take the name of the cluster, or none.
func clusterArgs(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage("one ConsulCluster at a time: %s", strings.Join(args, " "))
	}
	return nil
}
