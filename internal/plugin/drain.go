package plugin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func (s *session) drainCommand() *cobra.Command {
	check := false
	cmd := &cobra.Command{
		Use: "drain NODE", Args: nodeArg,
		Short: "Say how to drain a node, and what that would meet",
		Long: `Say how to drain a node, and what that would meet. It drains nothing itself: kubectl drain does, and
the operator moves the servers of the node first.

With --check, exit code 3 if the drain would wait for a person.`,
		Example: `  kubectl consul drain node2 --check
  kubectl consul drain node2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !check {
				fmt.Fprint(s.Out, howToDrain(args[0]))
				return nil
			}
			return s.checkDrain(cmd.Context(), args[0])
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "say what the drain would meet, and change nothing")
	return cmd
}

func nodeArg(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage("name one node: %s", cmd.UseLine())
	}
	return nil
}

// howToDrain is what to run.
func howToDrain(node string) string {
	return "To drain " + node + ":\n  kubectl drain " + node + " --delete-emptydir-data --ignore-daemonsets\n\n" +
		wrapped("The operator sees that the node is cordoned, and moves its servers first: for each, another one becomes a voter, "+
			"and then it leaves. Until then the drain says that it cannot evict the pod, and tries again: that is intended. It takes "+
			"about half a minute for each server.", 0) +
		"\n\nWhat the drain would meet:\n  kubectl consul drain " + node + " --check\n"
}

func (s *session) checkDrain(ctx context.Context, node string) error {
	if err := s.connect(); err != nil {
		return err
	}
	d, err := s.aboutNode(ctx, node)
	if err != nil {
		return err
	}
	text, needsPerson := d.foresight()
	fmt.Fprint(s.Out, text)
	if needsPerson {
		return &codedError{code: exitAttention}
	}
	return nil
}

// draining is what is known before a node is drained.
type draining struct {
	name string
	// nodes are all nodes; nil if the person may not list them.
	nodes    []corev1.Node
	clusters []v1alpha1.ConsulCluster
	// pods are those of servers.
	pods []corev1.Pod
	// budgets are the disruption budgets of the clusters; nil if the person may not list them.
	budgets []policyv1.PodDisruptionBudget
	// only is the namespace that was looked at; empty if all were.
	only string
}

// aboutNode reads what there is to know. Who may not list all namespaces is told of one.
func (s *session) aboutNode(ctx context.Context, name string) (draining, error) {
	d := draining{name: name}
	var nodes corev1.NodeList
	switch err := s.client.List(ctx, &nodes); {
	case err == nil:
		d.nodes = nodes.Items
		if !slices.ContainsFunc(d.nodes, func(n corev1.Node) bool { return n.Name == name }) {
			return d, fmt.Errorf("there is no node %s: kubectl get nodes", name)
		}
	case !apierrors.IsForbidden(err):
		return d, explained(err)
	}
	err := s.serversIn(ctx, &d)
	if apierrors.IsForbidden(err) {
		d.only = s.key.Namespace
		err = s.serversIn(ctx, &d)
	}
	return d, explained(err)
}

// serversIn reads clusters and pods of all namespaces, or of one.
func (s *session) serversIn(ctx context.Context, d *draining) error {
	var clusters v1alpha1.ConsulClusterList
	if err := s.client.List(ctx, &clusters, client.InNamespace(d.only)); err != nil {
		return err
	}
	var pods corev1.PodList
	isServer := client.HasLabels{v1alpha1.LabelCluster, v1alpha1.LabelServer}
	if err := s.client.List(ctx, &pods, client.InNamespace(d.only), isServer); err != nil {
		return err
	}
	var budgets policyv1.PodDisruptionBudgetList
	if s.client.List(ctx, &budgets, client.InNamespace(d.only), client.HasLabels{v1alpha1.LabelCluster}) == nil {
		d.budgets = budgets.Items
	}
	d.clusters, d.pods = clusters.Items, pods.Items
	return nil
}

// podsOf are the pods of a cluster's servers.
func (d draining) podsOf(c *v1alpha1.ConsulCluster) (pods []corev1.Pod) {
	for _, pod := range d.pods {
		if pod.Namespace == c.Namespace && pod.Labels[v1alpha1.LabelCluster] == c.Name {
			pods = append(pods, pod)
		}
	}
	return pods
}

// letsGo reports whether the disruption budget lets a server be evicted while no node of the cluster is drained: then the
// operator does not watch nodes.
func (d draining) letsGo(c *v1alpha1.ConsulCluster) bool {
	pods := d.podsOf(c)
	isCordoned := func(pod corev1.Pod) bool {
		i := slices.IndexFunc(d.nodes, func(n corev1.Node) bool { return n.Name == pod.Spec.NodeName })
		return i >= 0 && resources.Cordoned(&d.nodes[i])
	}
	i := slices.IndexFunc(d.budgets, func(b policyv1.PodDisruptionBudget) bool {
		return b.Namespace == c.Namespace && b.Name == resources.DisruptionBudgetName(c.Name)
	})
	return d.nodes != nil && i >= 0 && isReady(c) && !slices.ContainsFunc(pods, isCordoned) &&
		resources.MinAvailable(&d.budgets[i]) < len(pods)
}

// fitting are the names of the other nodes that may take a server, and the numbers of those that do not, by reason.
func (d draining) fitting(c *v1alpha1.ConsulCluster) (fit []string, unfit map[string]int) {
	unfit = map[string]int{}
	for _, node := range d.nodes {
		if node.Name == d.name {
			continue
		}
		if why := d.whyUnfit(c, node); why != "" {
			unfit[why]++
			continue
		}
		fit = append(fit, node.Name)
	}
	slices.Sort(fit)
	return fit, unfit
}

// someOf names a few, and says how many more there are.
func someOf(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
