package plugin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// restoring is how a snapshot is restored.
type restoring struct {
	following
	yes, skipSnapshot bool
	from              string
}

func (s *session) restoreCommand() *cobra.Command {
	var o restoring
	cmd := &cobra.Command{
		Use: "restore [CLUSTER] NAME | --from FILE", DisableFlagsInUseLine: true, Short: "Replace all data by that of a snapshot",
		Long: `Replace all data by that of a snapshot in the store, or of a file here. What was written since it was taken is lost.

A snapshot of the present data is taken first, and the operator puts right what a snapshot brings along; what is shown is a
ConsulRestore. With --from FILE neither is the case: where the file can be brought to the store, do that (docs/backup.md).`,
		Example: `  kubectl consul snapshot restore consul nightly-29402880
  kubectl consul snapshot restore consul --from consul.snap`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.from != "" {
				return clusterArgs(cmd, args)
			}
			return lastOf("the NAME of a ConsulSnapshot")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.from == "" {
				return s.restore(cmd.Context(), args[:len(args)-1], args[len(args)-1], o)
			}
			for _, other := range []string{"skip-snapshot", "no-wait", "timeout"} {
				if cmd.Flags().Changed(other) {
					return usage("--%s is for snapshots in the store, and --from for a file", other)
				}
			}
			return s.restoreFile(cmd.Context(), args, o)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&o.skipSnapshot, "skip-snapshot", false, "take no snapshot of the present data first")
	cmd.Flags().StringVar(&o.from, "from", "", "a file on this machine that consul snapshot save has written")
	return cmd
}

func (s *session) restore(ctx context.Context, args []string, name string, o restoring) error {
	if err := s.on(ctx, args); err != nil {
		return err
	}
	c, err := s.cluster(ctx)
	if err != nil {
		return err
	}
	snapshot, err := s.snapshot(ctx, name)
	if err != nil {
		return err
	}
	if err := isGood(snapshot); err != nil {
		return err
	}
	fmt.Fprint(s.Out, planOfRestore(c, snapshot, o.skipSnapshot, time.Now()))
	if err := s.confirm(ctx, "Replace all data?", o.yes); err != nil {
		return err
	}
	restore := &v1alpha1.ConsulRestore{}
	restore.Name, restore.Namespace = restoreName(c.Name, time.Now()), c.Namespace
	restore.Spec = v1alpha1.ConsulRestoreSpec{
		ClusterName: c.Name, From: v1alpha1.SnapshotSource{SnapshotName: name}, SkipSnapshot: o.skipSnapshot,
	}
	if err := s.client.Create(ctx, restore); err != nil {
		return explained(err)
	}
	fmt.Fprintf(s.Out, "ConsulRestore %s\n", restore.Name)
	var restored *v1alpha1.ConsulRestore
	err = followTask(ctx, s, o.following, task[*v1alpha1.ConsulRestore]{
		name: "restore", of: restore, toWatch: "kubectl get " + nameForKubectl(restore) + " --watch",
		help: func(now *v1alpha1.ConsulRestore, why *metav1.Condition) string {
			return whatToDo(now, now.Status.CompletedAt, why)
		},
		done: func(now *v1alpha1.ConsulRestore) bool {
			restored = now
			return isReady(now)
		},
	})
	if err == nil && restored != nil {
		fmt.Fprint(s.Out, undo(restored))
	}
	return err
}

// isGood is an error if a snapshot cannot be restored.
func isGood(snapshot *v1alpha1.ConsulSnapshot) error {
	if meta.IsStatusConditionTrue(snapshot.Status.Conditions, v1alpha1.ConditionReady) {
		return nil
	}
	why, message := stateOf(snapshot)
	return fmt.Errorf("ConsulSnapshot %s cannot be restored: it is not stored and verified (%s: %s)", snapshot.Name, dash(why),
		message)
}

// restoreName is the name of a restore that begins now. It has at most 44 characters, since Jobs are named after it.
func restoreName(cluster string, now time.Time) string {
	return snapshotName(fmt.Sprintf("%.28s", cluster), now)
}

// planOfRestore says what a restore does.
func planOfRestore(c *v1alpha1.ConsulCluster, s *v1alpha1.ConsulSnapshot, skipSnapshot bool, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in namespace %s: restore %s\n", c.Name, c.Namespace, s.Name)
	say := numbered(&b)
	sayState(say, c)
	of := ""
	if s.Spec.ClusterName != c.Name {
		of = " of the cluster " + s.Spec.ClusterName
	}
	since := ago(now, takenAt(s))
	by := ""
	if s.Status.Version != "" {
		by = ", by Consul " + s.Status.Version
	}
	say("The snapshot%s is read and checked. It was taken %s ago%s, and has %d keys.", of, since, by, s.Status.Keys)
	if skipSnapshot {
		say("No snapshot of the present data is taken, as you ask: it cannot be brought back.")
	} else {
		say("A snapshot of the present data is taken and verified.")
	}
	sayReplaced(say, "in the last "+since)
	say("The operator makes its tokens again, and takes nodes out of the catalog that are no servers any more.")
	return b.String()
}

// sayState tells what keeps a cluster from being as it should be.
func sayState(say func(string, ...any), c *v1alpha1.ConsulCluster) {
	switch {
	case c.Spec.Paused:
		say("The cluster is paused: it is not as it should be again until you resume it.")
	case !isReady(c):
		say("The cluster is not Ready now: %s", saying(c))
	}
}

// sayReplaced tells what is lost, and what comes back.
func sayReplaced(say func(string, ...any), since string) {
	say("All data is replaced: KV store, ACL tokens, catalog, sessions, service mesh. What was written %s is lost. Tokens that "+
		"were revoked or deleted since then are back, with their rights. Writes fail meanwhile.", since)
}

// undo says how to go back.
func undo(r *v1alpha1.ConsulRestore) string {
	text := fmt.Sprintf("Tokens that were revoked since the snapshot are back; to find them:\n  kubectl consul exec %s -n %s -- "+
		"consul acl token list\n", r.Spec.ClusterName, r.Namespace)
	if before := r.Status.SnapshotBefore; before != "" {
		text += fmt.Sprintf("The data before is in %s. To go back to it:\n  kubectl consul snapshot restore %s %s -n %s\n", before,
			r.Spec.ClusterName, before, r.Namespace)
	}
	return text
}
