package plugin

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

func (s *session) pauseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "pause [CLUSTER]", Args: clusterArgs, Short: "Let the operator change nothing of its own accord",
		Long: "Let the operator change nothing of its own accord. Servers that crash still start again, and the status stays up to " +
			"date.",
		RunE: func(cmd *cobra.Command, args []string) error { return s.setPaused(cmd.Context(), args, true) },
	}
}

func (s *session) resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "resume [CLUSTER]", Args: clusterArgs, Short: "Let the operator go on after a pause",
		RunE: func(cmd *cobra.Command, args []string) error { return s.setPaused(cmd.Context(), args, false) },
	}
}

func (s *session) setPaused(ctx context.Context, args []string, paused bool) error {
	if err := s.on(ctx, args); err != nil {
		return err
	}
	before, err := s.change(ctx, forReal, func(c *v1alpha1.ConsulCluster) { c.Spec.Paused = paused })
	if err != nil {
		return err
	}
	state := map[bool]string{true: "paused", false: "not paused"}
	if before.Spec.Paused == paused {
		fmt.Fprintf(s.Out, "%s is %s already\n", s.key.Name, state[paused])
		return nil
	}
	fmt.Fprintf(s.Out, "%s is %s\n", s.key.Name, state[paused])
	return nil
}

func (s *session) scaleCommand() *cobra.Command {
	var f following
	cmd := &cobra.Command{
		Use: "scale [CLUSTER] REPLICAS", Args: lastOf("REPLICAS"), Short: "Change the number of servers: 1, 3, 5 or 7",
		Example: "  kubectl consul scale consul 5",
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := strconv.ParseInt(args[len(args)-1], 10, 32)
			if err != nil {
				return usage("%q is no number of servers", args[len(args)-1])
			}
			return s.changeAndFollow(cmd.Context(), args[:len(args)-1], f, work{
				name: "change", begin: func(c *v1alpha1.ConsulCluster) { c.Spec.Replicas = int32(wanted) }, done: afterChange,
			})
		},
	}
	f.addFlags(cmd)
	return cmd
}

func (s *session) restartCommand() *cobra.Command {
	var f following
	cmd := &cobra.Command{
		Use: "restart [CLUSTER]", Args: clusterArgs, Short: "Replace all servers one after the other, as an upgrade does",
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.changeAndFollow(cmd.Context(), args, f, work{
				name: "restart", begin: annotated(v1alpha1.AnnotationRestartedAt, stamp()), done: afterRevision,
			})
		},
	}
	f.addFlags(cmd)
	return cmd
}

func (s *session) transferCommand() *cobra.Command {
	var f following
	cmd := &cobra.Command{
		Use: "transfer [CLUSTER] [SERVER]", Short: "Hand leadership over, to the best candidate or to a server",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 2 {
				return usage("say CLUSTER and SERVER: %s", cmd.UseLine())
			}
			return nil
		},
		Example: `  kubectl consul transfer
  kubectl consul transfer consul consul-7`,
		RunE: func(cmd *cobra.Command, args []string) error {
			to := ""
			if len(args) == 2 {
				to = args[1]
			}
			return s.transfer(cmd.Context(), args[:min(1, len(args))], to, f)
		},
	}
	f.addFlags(cmd)
	return cmd
}

func (s *session) transfer(ctx context.Context, args []string, to string, f following) error {
	if err := s.on(ctx, args); err != nil {
		return err
	}
	before, err := s.cluster(ctx)
	if err != nil {
		return err
	}
	isServer := func(x v1alpha1.ServerStatus) bool { return x.Name == to }
	if to != "" && !slices.ContainsFunc(before.Status.Servers, isServer) {
		return fmt.Errorf("%s has no server %s; it has %s", s.key.Name, to, strings.Join(serverNames(before), ", "))
	}
	if to != "" && to == before.Status.Leader {
		fmt.Fprintf(s.Out, "%s leads already\n", to)
		return nil
	}
	if _, err := s.change(ctx, forReal, annotated(v1alpha1.AnnotationTransferLeadership, to)); err != nil {
		return err
	}
	var after *v1alpha1.ConsulCluster
	if err := s.follow(ctx, f, "transfer", func(c *v1alpha1.ConsulCluster) bool {
		after = c
		return isTransferred(before, c)
	}); err != nil || after == nil {
		return err
	}
	if after.Status.Leader == before.Status.Leader {
		return fmt.Errorf("%s still leads; why, the event FinishTransfer says: kubectl describe consulcluster %s -n %s",
			after.Status.Leader, s.key.Name, s.key.Namespace)
	}
	fmt.Fprintf(s.Out, "%s leads\n", after.Status.Leader)
	return nil
}

// isTransferred reports whether a transfer is over. The operator takes the annotation off first, and then tells who leads.
func isTransferred(before, c *v1alpha1.ConsulCluster) bool {
	_, isAsked := c.Annotations[v1alpha1.AnnotationTransferLeadership]
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	isUnderWay := ready != nil && ready.Reason == string(reason.LeadershipTransferRequested)
	return !isAsked && c.Status.Leader != "" && (c.Status.Leader != before.Status.Leader || !isUnderWay)
}

func (s *session) replaceCommand() *cobra.Command {
	var f following
	cmd := &cobra.Command{
		Use: "replace [CLUSTER] SERVER", Args: lastOf("SERVER"),
		Short: "Replace one server by another one with an empty volume",
		Long: `Replace one server by another one with an empty volume. The server keeps serving until the other one is a voter.
Its volume claim is deleted.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.replace(cmd.Context(), args[:len(args)-1], args[len(args)-1], f)
		},
	}
	f.addFlags(cmd)
	return cmd
}

func (s *session) replace(ctx context.Context, args []string, server string, f following) error {
	if err := s.on(ctx, args); err != nil {
		return err
	}
	c, err := s.cluster(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(serverNames(c), server) {
		return fmt.Errorf("%s has no server %s; it has %s", s.key.Name, server, strings.Join(serverNames(c), ", "))
	}
	claim := &corev1.PersistentVolumeClaim{}
	if err := s.client.Get(ctx, client.ObjectKey{Namespace: s.key.Namespace, Name: server}, claim); err != nil {
		return explained(err)
	}
	if err := s.client.Delete(ctx, claim, client.Preconditions{UID: &claim.UID}); err != nil {
		return explained(err)
	}
	return s.follow(ctx, f, "replacement", func(c *v1alpha1.ConsulCluster) bool {
		return isReady(c) && !slices.Contains(serverNames(c), server)
	})
}

// rotations are what can be rotated: the annotation that asks for it, and when it is done. That of the authority takes days, see
// spec.tls.caGracePeriod: nobody waits for it.
var rotations = map[string]struct {
	annotation string
	done       func(before *v1alpha1.ConsulCluster) func(*v1alpha1.ConsulCluster) bool
}{
	"gossip-key": {v1alpha1.AnnotationRotateGossipKey, afterReason(reason.RotatingGossipKey)},
	"authority":  {v1alpha1.AnnotationRotateAuthority, nil},
	"tokens":     {v1alpha1.AnnotationRotateTokens, afterReason(reason.RotatingTokens)},
}

func (s *session) rotateCommand() *cobra.Command {
	var f following
	cmd := &cobra.Command{
		Use: "rotate [CLUSTER] gossip-key|authority|tokens", Args: lastOf("gossip-key, authority or tokens"),
		Short: "Replace the gossip key, the authority or the ACL tokens",
		RunE: func(cmd *cobra.Command, args []string) error {
			what := args[len(args)-1]
			rotation, known := rotations[what]
			if !known {
				return usage("%q cannot be rotated: gossip-key, authority and tokens can", what)
			}
			f.noWait = f.noWait || rotation.done == nil
			return s.changeAndFollow(cmd.Context(), args[:len(args)-1], f, work{
				name: "rotation", begin: annotated(rotation.annotation, stamp()), done: rotation.done,
			})
		},
	}
	f.addFlags(cmd)
	return cmd
}

// work is what the operator does after a change.
type work struct {
	name  string
	begin func(*v1alpha1.ConsulCluster)
	// done says, of what the cluster was before, when that is over.
	done func(before *v1alpha1.ConsulCluster) func(*v1alpha1.ConsulCluster) bool
}

// changeAndFollow changes the cluster, and waits until the work is done.
func (s *session) changeAndFollow(ctx context.Context, args []string, f following, w work) error {
	if err := s.on(ctx, args); err != nil {
		return err
	}
	c, err := s.cluster(ctx)
	if err != nil {
		return err
	}
	if err := isPaused(c); err != nil {
		return err
	}
	before, err := s.change(ctx, forReal, w.begin)
	if err != nil {
		return err
	}
	if w.done == nil {
		return s.follow(ctx, f, w.name, nil)
	}
	return s.follow(ctx, f, w.name, w.done(before))
}

// isPaused is an error if the operator would do nothing.
func isPaused(c *v1alpha1.ConsulCluster) error {
	if c.Spec.Paused {
		return fmt.Errorf("%s is paused, so nothing would happen: kubectl consul resume %s -n %s", c.Name, c.Name, c.Namespace)
	}
	return nil
}

// afterChange is for changes of the spec.
func afterChange(*v1alpha1.ConsulCluster) func(*v1alpha1.ConsulCluster) bool { return isReady }

// afterRevision is for what gives servers another revision without a change of the spec.
func afterRevision(before *v1alpha1.ConsulCluster) func(*v1alpha1.ConsulCluster) bool {
	return func(c *v1alpha1.ConsulCluster) bool { return isReady(c) && c.Status.Revision != before.Status.Revision }
}

// afterReason is for what replaces no server: it is over when the operator has said that it is about it, and is Ready.
func afterReason(why reason.Reason) func(*v1alpha1.ConsulCluster) func(*v1alpha1.ConsulCluster) bool {
	return func(*v1alpha1.ConsulCluster) func(*v1alpha1.ConsulCluster) bool {
		hasBegun := false
		return func(c *v1alpha1.ConsulCluster) bool {
			ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
			hasBegun = hasBegun || ready != nil && ready.Reason == string(why)
			return hasBegun && isReady(c)
		}
	}
}

// annotated sets an annotation.
func annotated(key, value string) func(*v1alpha1.ConsulCluster) {
	return func(c *v1alpha1.ConsulCluster) { metav1.SetMetaDataAnnotation(&c.ObjectMeta, key, value) }
}

// stamp is a value that was not there before.
func stamp() string { return time.Now().UTC().Format(time.RFC3339) }

func serverNames(c *v1alpha1.ConsulCluster) []string {
	var names []string
	for _, s := range c.Status.Servers {
		names = append(names, s.Name)
	}
	return names
}

// lastOf is for commands that take the name of the cluster, or none, before what they need.
func lastOf(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 || len(args) > 2 {
			return usage("say %s: %s", what, cmd.UseLine())
		}
		return nil
	}
}
