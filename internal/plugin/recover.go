package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// recovering is how a lost quorum is to be recovered.
type recovering struct {
	following
	yes, dryRun bool
}

func (s *session) recoverCommand() *cobra.Command {
	var r recovering
	cmd := &cobra.Command{
		Use: "recover [CLUSTER]", Args: clusterArgs,
		Short: "Carry on without the servers that a lost quorum has lost",
		Long: `Give up the servers that a lost quorum has lost for good, and carry on with what is left.

It shows what is lost and what is left, asks, and tells the operator which servers you give up. Writes that only those
servers had are gone. It refuses as long as the quorum may come back by itself.`,
		Example: `  kubectl consul recover consul --dry-run
  kubectl consul recover consul`,
		RunE: func(cmd *cobra.Command, args []string) error { return s.recoverQuorum(cmd.Context(), args, r) },
	}
	r.addFlags(cmd)
	cmd.Flags().BoolVarP(&r.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&r.dryRun, "dry-run", false, "show what would happen only")
	return cmd
}

func (s *session) recoverQuorum(ctx context.Context, args []string, r recovering) error {
	if err := s.on(ctx, args); err != nil {
		return err
	}
	p, err := s.look(ctx, nil)
	if err != nil {
		return err
	}
	given, err := toGiveUp(p.ConsulCluster)
	if err != nil {
		return err
	}
	fmt.Fprint(s.Out, lossOf(p, s.claims(ctx), given, time.Now()))
	if r.dryRun {
		return nil
	}
	if err := s.confirm(ctx, fmt.Sprintf("Give up %s for good?", enumerated(given)), r.yes); err != nil {
		return err
	}
	if r.past, err = s.giveUp(ctx, given); err != nil {
		return err
	}
	return s.follow(ctx, r.following, "recovery", isRecovered)
}

// toGiveUp are the servers that the operator asks a person to give up; an error if the quorum is not lost for good, or the
// operator cannot tell yet.
func toGiveUp(c *v1alpha1.ConsulCluster) ([]string, error) {
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	look := fmt.Sprintf("kubectl consul explain %s -n %s", c.Name, c.Namespace)
	switch {
	case ready == nil || !isOfNow(c, ready):
		return nil, fmt.Errorf("the operator has not looked at %s yet, or not at its newest spec: try again, and if that lasts, %s",
			c.Name, look)
	case ready.Reason == string(reason.RecoveringQuorum):
		return nil, fmt.Errorf("%s is being recovered already: %s\nTo watch: kubectl consul status %s -n %s --watch",
			c.Name, ready.Message, c.Name, c.Namespace)
	case ready.Reason != string(reason.QuorumLost):
		return nil, fmt.Errorf("the quorum of %s is not lost for good. The operator says %s: %s\nWhat you can do: %s",
			c.Name, ready.Reason, ready.Message, look)
	}
	given := plan.AskedToGiveUp(ready.Message)
	if len(given) == 0 {
		return nil, &codedError{exitAttention, fmt.Sprintf(
			"the operator does not say which servers of %s may be given up: %s\nWhat you can do: %s", c.Name, ready.Message, look)}
	}
	return given, nil
}

// giveUp tells the operator which servers a person gives up, and returns what it said before. Whoever is asked for may have
// changed while the person was thinking.
func (s *session) giveUp(ctx context.Context, given []string) (past string, err error) {
	changed := false
	before, err := s.change(ctx, forReal, func(c *v1alpha1.ConsulCluster) {
		now, err := toGiveUp(c)
		if changed = err != nil || !slices.Equal(now, given); !changed {
			metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AnnotationAcceptLoss, strings.Join(given, ","))
		}
	})
	switch {
	case err != nil:
		return "", err
	case changed:
		return "", errors.New("the cluster has changed meanwhile, and nothing was done: run the command again to see what is lost now")
	}
	return saying(before), nil
}

// isRecovered reports whether nothing of a recovery is left to do.
func isRecovered(c *v1alpha1.ConsulCluster) bool {
	_, accepted := c.Annotations[v1alpha1.AnnotationAcceptLoss]
	_, recovers := c.Annotations[v1alpha1.AnnotationRecovery]
	return isReady(c) && !accepted && !recovers
}

// claims are the volume claims of the cluster's servers by name; nil if the person may not read them.
func (s *session) claims(ctx context.Context) map[string]corev1.PersistentVolumeClaim {
	var list corev1.PersistentVolumeClaimList
	ours := client.MatchingLabels{v1alpha1.LabelCluster: s.key.Name}
	if s.client.List(ctx, &list, client.InNamespace(s.key.Namespace), ours) != nil {
		return nil
	}
	claims := map[string]corev1.PersistentVolumeClaim{}
	for _, claim := range list.Items {
		claims[claim.Name] = claim
	}
	return claims
}

// lossOf says what is lost, what is left, and what happens if it is given up.
func lossOf(p picture, claims map[string]corev1.PersistentVolumeClaim, given []string, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in namespace %s has lost its quorum for good", p.Name, p.Namespace)
	if p.Status.QuorumLostSince != nil {
		fmt.Fprintf(&b, ", for %s", ago(now, p.Status.QuorumLostSince))
	}
	ready := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
	fmt.Fprintf(&b, ".\n\nThe operator says\n%s\n\n%s\nWhat happens\n", wrapped(ready.Message, 2), fates(p, claims, given))
	say := numbered(&b)
	say("%s: given up for good. They are stopped, if they run, and are never started again. Volumes that are left are kept, "+
		"labeled %s=%s.", enumerated(given), v1alpha1.LabelRetired, v1alpha1.RetiredFailed)
	say("The other servers restart, and save a copy of their data. The one that the operator names carries on alone with the " +
		"data it has, and the others join it.")
	say("Writes that only %s had are gone, also those that clients were told had succeeded.", enumerated(given))
	say("New servers are added until there are %d again.", p.Spec.Replicas)
	for _, warning := range warnings(p, claims, given, now) {
		fmt.Fprintf(&b, "\n%s\n", wrapped(warning, 0))
	}
	return b.String()
}

// warnings are what a person should think of before.
func warnings(p picture, claims map[string]corev1.PersistentVolumeClaim, given []string, now time.Time) (all []string) {
	var kept, strangers []string
	for _, name := range given {
		if _, exists := claims[name]; exists {
			kept = append(kept, name)
		}
		if _, ours := resources.Serial(p.Name, name); !ours {
			strangers = append(strangers, name)
		}
	}
	if len(kept) > 0 {
		all = append(all, "Think of this: the volume of "+enumerated(kept)+" is there. It may have newer data than what is left. "+
			"If you can bring it back, do that instead.")
	}
	if len(strangers) > 0 {
		all = append(all, "Think of this: "+enumerated(strangers)+" was never a server of this cluster, and may have a leader of "+
			"its own. If so, this makes two clusters of one.")
	}
	if p.saved != nil {
		all = append(all, fmt.Sprintf("The last good snapshot is %s, %s old. It "+
			"stays.", p.saved.Name, ago(now, p.saved.Status.CompletedAt)))
	}
	return all
}

// fates is the table of the servers, and of what becomes of them.
func fates(p picture, claims map[string]corev1.PersistentVolumeClaim, given []string) string {
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVER\tFATE\tVOLUME\tPOD\tCONSUL\tSTATE")
	row := func(fate string, server v1alpha1.ServerStatus) {
		fmt.Fprintln(table, strings.Join([]string{
			server.Name, fate, volumeOf(claims, server.Name), podOf(p, server.Name), dash(server.Version), dash(string(server.State)),
		}, "\t"))
	}
	for _, server := range p.Status.Servers {
		if !slices.Contains(given, server.Name) {
			row("stays", server)
		}
	}
	for _, name := range given {
		server := v1alpha1.ServerStatus{Name: name}
		if i := slices.IndexFunc(p.Status.Servers, func(s v1alpha1.ServerStatus) bool { return s.Name == name }); i >= 0 {
			server = p.Status.Servers[i]
		}
		if _, ours := resources.Serial(p.Name, name); !ours { // nothing here tells of it
			fmt.Fprintf(table, "%s\tgiven up\t-\t-\t-\t-\n", name)
			continue
		}
		row("given up", server)
	}
	_ = table.Flush()
	return trimmed(b.String())
}

// volumeOf is how large the volume of a server is; "gone" without one.
func volumeOf(claims map[string]corev1.PersistentVolumeClaim, server string) string {
	claim, exists := claims[server]
	switch {
	case claims == nil:
		return "-"
	case !exists:
		return "gone"
	case claim.DeletionTimestamp != nil:
		return "deleted"
	}
	size, known := claim.Status.Capacity[corev1.ResourceStorage]
	if !known {
		size = claim.Spec.Resources.Requests[corev1.ResourceStorage]
	}
	return size.String()
}

// podOf is the phase of a server's pod.
func podOf(p picture, server string) string {
	pod, exists := p.pods[server]
	switch {
	case p.pods == nil:
		return "-"
	case !exists:
		return "none"
	case pod.DeletionTimestamp != nil:
		return "stopping"
	}
	return dash(string(pod.Status.Phase))
}
