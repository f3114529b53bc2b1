package plugin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// upgrading is how the version is to be changed.
type upgrading struct {
	following
	yes, dryRun, skipSnapshot, allowDowngrade bool
}

func (s *session) upgradeCommand() *cobra.Command {
	var u upgrading
	cmd := &cobra.Command{
		Use: "upgrade [CLUSTER] VERSION", Args: lastOf("VERSION"),
		Short: "Show the plan of an upgrade, ask, and show its progress",
		Example: `  kubectl consul upgrade 1.22.7 --dry-run
  kubectl consul upgrade consul 1.22.7 --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.upgrade(cmd.Context(), args[:len(args)-1], args[len(args)-1], u)
		},
	}
	u.addFlags(cmd)
	cmd.Flags().BoolVarP(&u.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&u.dryRun, "dry-run", false, "show the plan only")
	cmd.Flags().BoolVar(&u.skipSnapshot, "skip-snapshot", false, "take no snapshot first")
	cmd.Flags().BoolVar(&u.allowDowngrade, "allow-downgrade", false, "allow a lower minor release, which may be unable to read data")
	return cmd
}

func (s *session) upgrade(ctx context.Context, args []string, version string, u upgrading) error {
	if err := s.on(ctx, args); err != nil {
		return err
	}
	change := func(c *v1alpha1.ConsulCluster) {
		c.Spec.Version = version
		if u.skipSnapshot {
			metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AnnotationSkipSnapshot, version)
		}
		if u.allowDowngrade {
			metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AnnotationAllowDowngrade, version)
		}
	}
	c, err := s.change(ctx, judged, change)
	if err != nil {
		return err
	}
	if err := refusal(c, version, u.allowDowngrade); err != nil {
		return err
	}
	fmt.Fprint(s.Out, planOf(c, version, u.skipSnapshot))
	if u.dryRun {
		return nil
	}
	if err := s.confirm(ctx, "Upgrade?", u.yes); err != nil {
		return err
	}
	if _, err := s.change(ctx, forReal, change); err != nil {
		return err
	}
	return s.follow(ctx, u.following, "upgrade", isReady)
}

// refusal is an error if the operator would not begin, or has nothing to do.
func refusal(c *v1alpha1.ConsulCluster, version string, allowed bool) error {
	if c.Spec.Version == version && c.Status.Version == version {
		return fmt.Errorf("%s runs %s already", c.Name, version)
	}
	for _, server := range c.Status.Servers {
		if resources.IsDowngrade(version, server.Version) && !allowed {
			return fmt.Errorf("%s is a downgrade: %s runs %s, and Consul does not support a lower minor release; "+
				"--allow-downgrade allows it, if you have a snapshot and know that they are compatible", version, server.Name, server.Version)
		}
	}
	return isPaused(c)
}

// planOf says what an upgrade does.
func planOf(c *v1alpha1.ConsulCluster, version string, skipSnapshot bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in namespace %s: Consul %s to %s\n", c.Name, c.Namespace, dash(c.Status.Version), version)
	say := numbered(&b)
	if ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady); ready != nil && !isReady(c) {
		say("The cluster is not Ready now: %s", saying(c))
	}
	first := c.Spec.Update.SnapshotFirst
	switch takes := c.Spec.Snapshots.Destination != nil && (first == nil || *first); {
	case takes && skipSnapshot:
		say("No snapshot is taken, as you ask.")
	case takes:
		say("A snapshot is taken and verified.")
	default:
		say("No snapshot is taken: spec.snapshots has no destination, or spec.update.snapshotFirst is false.")
	}
	if c.Spec.Update.Type == v1alpha1.UpdateInPlace {
		say("One server after the other leaves and comes back on its volume, the leader last.")
	} else {
		say("New servers are added, %d at a time, and each old one leaves once a new one votes in its place.",
			max(1, c.Spec.Update.MaxSurge))
	}
	say("%s hands leadership over once, near the end.", dash(c.Status.Leader))
	return b.String()
}

// errNotConfirmed is the answer of somebody who does not want it.
var errNotConfirmed = errors.New("nothing was changed")

// confirm asks a person at a terminal; elsewhere --yes has to be given.
func (s *session) confirm(ctx context.Context, question string, yes bool) error {
	if yes {
		return nil
	}
	if !isTerminal(s.In) {
		return usage("nobody can be asked here: give --yes, or --dry-run to see the plan only")
	}
	fmt.Fprintf(s.Out, "\n%s [y/N] ", question)
	answered := make(chan string, 1)
	go func() { // it ends with the program, if nobody answers
		answer, _ := bufio.NewReader(s.In).ReadString('\n') // none is no
		answered <- strings.ToLower(strings.TrimSpace(answer))
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case answer := <-answered:
		if answer == "y" || answer == "yes" {
			return nil
		}
		return errNotConfirmed
	}
}
