package plugin

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

func (s *session) snapshotCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "snapshot", Short: "Save all data, look at what was saved, and restore it",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("there is no command %q; see %s --help", args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(s.saveCommand(), s.listCommand(), s.inspectCommand(), s.restoreCommand())
	return cmd
}

// saving is how a snapshot is taken.
type saving struct {
	following
	name, verify, to string
}

func (s *session) saveCommand() *cobra.Command {
	var o saving
	cmd := &cobra.Command{
		Use: "save [CLUSTER]", Args: clusterArgs, Short: "Take a snapshot, to the store or to a file here",
		Long: `Take a snapshot. It goes to the store that the ConsulCluster names in spec.snapshots, encrypted, and is verified there;
what is shown is a ConsulSnapshot.

With --to it goes to a file on this machine instead. The file is not encrypted: it holds all data, all ACL tokens and the private
keys of the service mesh. Only you can read it.`,
		Example: `  kubectl consul snapshot save
  kubectl consul snapshot save consul --name before-the-move --verify Restore
  kubectl consul snapshot save consul --to consul.snap`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.to != "" {
				for _, other := range []string{"name", "verify", "no-wait", "timeout"} {
					if cmd.Flags().Changed(other) {
						return usage("--%s is for snapshots in the store, and --to for a file", other)
					}
				}
				return s.saveFile(cmd.Context(), args, o.to)
			}
			return s.save(cmd.Context(), args, o)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().StringVar(&o.name, "name", "", "the name of the ConsulSnapshot; CLUSTER and the time by default")
	cmd.Flags().StringVar(&o.verify, "verify", string(v1alpha1.VerifyArchive),
		"Archive: check all sums and records; Restore: also restore it into a server that nobody reaches")
	cmd.Flags().StringVar(&o.to, "to", "", "a file on this machine, which must not exist")
	return cmd
}

func (s *session) save(ctx context.Context, args []string, o saving) error {
	verify, err := verification(o.verify)
	if err != nil {
		return err
	}
	if err := s.on(ctx, args); err != nil {
		return err
	}
	c, err := s.cluster(ctx)
	if err != nil {
		return err
	}
	if err := hasStore(c); err != nil {
		return err
	}
	snapshot := &v1alpha1.ConsulSnapshot{}
	snapshot.Name, snapshot.Namespace = cmp.Or(o.name, snapshotName(c.Name, time.Now())), c.Namespace
	snapshot.Spec = v1alpha1.ConsulSnapshotSpec{ClusterName: c.Name, Verify: verify}
	if err := s.client.Create(ctx, snapshot); err != nil {
		return explained(err)
	}
	fmt.Fprintf(s.Out, "ConsulSnapshot %s\n", snapshot.Name)
	var saved *v1alpha1.ConsulSnapshot
	err = followTask(ctx, s, o.following, task[*v1alpha1.ConsulSnapshot]{
		name: "snapshot", of: snapshot, toWatch: "kubectl get " + nameForKubectl(snapshot) + " --watch",
		help: func(now *v1alpha1.ConsulSnapshot, why *metav1.Condition) string {
			return whatToDo(now, now.Status.CompletedAt, why)
		},
		done: func(now *v1alpha1.ConsulSnapshot) bool {
			saved = now
			return isReady(now)
		},
	})
	if err == nil && saved != nil {
		writeSnapshot(s.Out, saved, time.Now())
	}
	return err
}

// verification reads --verify, whatever its case.
func verification(text string) (v1alpha1.SnapshotVerification, error) {
	for _, known := range []v1alpha1.SnapshotVerification{v1alpha1.VerifyArchive, v1alpha1.VerifyRestore} {
		if strings.EqualFold(text, string(known)) {
			return known, nil
		}
	}
	return "", usage("--verify %s: it is Archive or Restore", text)
}

// hasStore says what to do where a ConsulSnapshot would wait for ever.
func hasStore(c *v1alpha1.ConsulCluster) error {
	if c.Spec.Snapshots.Destination == nil {
		return fmt.Errorf("%s has no spec.snapshots.destination, so there is no place for snapshots: configure one (docs/backup.md), "+
			"or take one to a file on this machine with --to FILE", c.Name)
	}
	return nil
}

// snapshotName is the name of a snapshot that is taken now.
func snapshotName(cluster string, now time.Time) string {
	return cluster + "-" + now.UTC().Format("20060102-150405")
}

// whatToDo is what a person can do about a reason, in the words of the operator's documentation. What is not completed may begin
// when nobody expects it any more.
func whatToDo(o client.Object, completed *metav1.Time, why *metav1.Condition) string {
	var lines []string
	if info, _ := reason.Of(reason.Reason(why.Reason)); info.Act != "" {
		lines = append(lines, "What to do: "+plain(info.Act))
	}
	if completed == nil {
		lines = append(lines, "It goes on by itself once that is put right. To give it up: kubectl delete "+nameForKubectl(o))
	}
	return strings.Join(lines, "\n")
}

// nameForKubectl names an object in a command.
func nameForKubectl(o client.Object) string {
	return fmt.Sprintf("%s %s -n %s", strings.ToLower(kindOf(o)), o.GetName(), o.GetNamespace())
}

func (s *session) listCommand() *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use: "list [CLUSTER]", Args: clusterArgs, Short: "List the snapshots in the store, the newest first",
		Long: `List the ConsulSnapshots of a cluster, or all of the namespace, the newest first. They may outlast their cluster.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.connect(); err != nil {
				return err
			}
			var all v1alpha1.ConsulSnapshotList
			if err := s.client.List(cmd.Context(), &all, client.InNamespace(s.key.Namespace)); err != nil {
				return explained(err)
			}
			all.Items = ofCluster(all.Items, args)
			if output != "" {
				return printObject(s.Out, &all, output)
			}
			if len(all.Items) == 0 {
				fmt.Fprintf(s.ErrOut, "There is no ConsulSnapshot in namespace %s to list. To take one: kubectl consul snapshot save\n",
					s.key.Namespace)
				return nil
			}
			_, err := io.WriteString(s.Out, snapshotTable(all.Items, time.Now()))
			return err
		},
	}
	addOutput(cmd, &output, false)
	return cmd
}

// ofCluster are the snapshots of the cluster that is named, or all, the newest first.
func ofCluster(all []v1alpha1.ConsulSnapshot, names []string) []v1alpha1.ConsulSnapshot {
	kept := slices.DeleteFunc(all, func(s v1alpha1.ConsulSnapshot) bool {
		return len(names) > 0 && s.Spec.ClusterName != names[0]
	})
	slices.SortFunc(kept, func(a, b v1alpha1.ConsulSnapshot) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return kept
}

func (s *session) inspectCommand() *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use: "inspect NAME", Short: "Show what is known of a snapshot in the store",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("say the NAME of a ConsulSnapshot: %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.connect(); err != nil {
				return err
			}
			snapshot, err := s.snapshot(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if output != "" {
				return printObject(s.Out, snapshot, output)
			}
			writeSnapshot(s.Out, snapshot, time.Now())
			return nil
		},
	}
	addOutput(cmd, &output, false)
	return cmd
}

func (s *session) snapshot(ctx context.Context, name string) (*v1alpha1.ConsulSnapshot, error) {
	snapshot := &v1alpha1.ConsulSnapshot{}
	err := s.client.Get(ctx, client.ObjectKey{Namespace: s.key.Namespace, Name: name}, snapshot)
	if client.IgnoreNotFound(err) == nil && err != nil {
		return nil, fmt.Errorf("there is no ConsulSnapshot %s in namespace %s; these there are: kubectl consul snapshot list -n %[2]s",
			name, s.key.Namespace)
	}
	return snapshot, explained(err)
}

// stateOf is the reason and the message of an object's condition Ready.
func stateOf(o client.Object) (why, message string) {
	conditions, _ := toldOf(o)
	if ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); ready != nil {
		return ready.Reason, ready.Message
	}
	return "", "the operator has not looked at it yet"
}
