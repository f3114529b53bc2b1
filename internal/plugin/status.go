package plugin

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// picture is what `status` shows.
type picture struct {
	*v1alpha1.ConsulCluster
	// pods by name, and zones of nodes by name; nil if the person may not read them.
	pods  map[string]corev1.Pod
	zones map[string]string
	// saved is the newest good snapshot; nil if there is none, or it may not be read.
	saved *v1alpha1.ConsulSnapshot
}

func (s *session) statusCommand() *cobra.Command {
	output, watch := "", false
	cmd := &cobra.Command{
		Use: "status [CLUSTER]", Args: clusterArgs,
		Short: "Show a cluster and its servers",
		Example: `  kubectl consul status
  kubectl consul status consul --watch
  kubectl consul status consul -o yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.on(cmd.Context(), args); err != nil {
				return err
			}
			if watch {
				return s.watchStatus(cmd.Context(), output)
			}
			p, err := s.look(cmd.Context(), nil)
			if err != nil {
				return err
			}
			return s.print(p, output)
		},
	}
	addOutput(cmd, &output, true)
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again whenever it changes, until Ctrl-C")
	return cmd
}

// look reads what there is to show. What the person may not read is left out.
func (s *session) look(ctx context.Context, c *v1alpha1.ConsulCluster) (picture, error) {
	p := picture{ConsulCluster: c}
	if c == nil {
		var err error
		if p.ConsulCluster, err = s.cluster(ctx); err != nil {
			return picture{}, err
		}
	}
	var pods corev1.PodList
	here, its := client.InNamespace(s.key.Namespace), client.MatchingLabels{v1alpha1.LabelCluster: s.key.Name}
	if s.client.List(ctx, &pods, here, its) == nil {
		p.pods = map[string]corev1.Pod{}
		for _, pod := range pods.Items {
			p.pods[pod.Name] = pod
		}
	}
	var nodes corev1.NodeList
	if s.client.List(ctx, &nodes) == nil {
		p.zones = map[string]string{}
		for _, node := range nodes.Items {
			p.zones[node.Name] = node.Labels[corev1.LabelTopologyZone]
		}
	}
	var snapshots v1alpha1.ConsulSnapshotList
	if s.client.List(ctx, &snapshots, here) == nil {
		p.saved = newest(snapshots.Items, s.key.Name)
	}
	return p, nil
}

// newest is the good snapshot of a cluster that was completed last.
func newest(all []v1alpha1.ConsulSnapshot, cluster string) *v1alpha1.ConsulSnapshot {
	good := slices.DeleteFunc(all, func(s v1alpha1.ConsulSnapshot) bool {
		return s.Spec.ClusterName != cluster || s.Status.CompletedAt == nil ||
			!meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionReady)
	})
	if len(good) == 0 {
		return nil
	}
	last := slices.MaxFunc(good, func(a, b v1alpha1.ConsulSnapshot) int {
		return a.Status.CompletedAt.Compare(b.Status.CompletedAt.Time)
	})
	return &last
}

func (s *session) print(p picture, output string) error {
	switch output {
	case "json", "yaml":
		return printObject(s.Out, p.ConsulCluster, output)
	}
	_, err := io.WriteString(s.Out, render(p, time.Now(), output == "wide"))
	return err
}

// render is the status as text.
func render(p picture, now time.Time, wide bool) string {
	var b strings.Builder
	ready := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		fmt.Fprintf(&b, "%s in namespace %s: the operator has not looked at it yet\n", p.Name, p.Namespace)
		return b.String()
	}
	fmt.Fprintf(&b, "%s in namespace %s: %s\n%s\n\n", p.Name, p.Namespace, ready.Reason, wrapped(ready.Message, 2))
	for _, line := range facts(p, now) {
		fmt.Fprintf(&b, "  %-11s %s\n", line.name, strings.TrimLeft(wrapped(line.text, 14), " "))
	}
	b.WriteString("\n")
	b.WriteString(servers(p, now, wide))
	for _, s := range p.Status.Servers {
		if s.Message != "" {
			fmt.Fprintf(&b, "\n%s\n%s\n", s.Name, wrapped(s.Message, 2))
		}
	}
	for _, d := range p.Status.Disagreements {
		fmt.Fprintf(&b, "\nNot all agree on %s\n%s\n%s\n", cmp.Or(d.Name, d.ID), wrapped(d.Problem, 2), wrapped(d.Action, 2))
	}
	if ready.Status != metav1.ConditionTrue {
		fmt.Fprintf(&b, "\nWhat it means, and what you can do:\n  kubectl consul explain %s -n %s\n", p.Name, p.Namespace)
	}
	return b.String()
}

type fact struct{ name, text string }

// facts are what there is to know of a cluster beside its servers.
func facts(p picture, now time.Time) []fact {
	st := p.Status
	version := dash(st.Version)
	if p.Spec.Version != st.Version {
		version += ", wanted " + p.Spec.Version
	}
	leader := "none is known"
	if st.Leader != "" {
		leader = fmt.Sprintf("%s for %s, term %d", st.Leader, ago(now, st.LeaderSince), st.Term)
	}
	if h := st.LastHandoff; h != nil {
		leader += fmt.Sprintf("; taken over from %s in %s", h.From, h.Took.Round(time.Millisecond))
	}
	all := []fact{
		{"Version", version},
		{"Ready", fmt.Sprintf("%s servers, %s, %d may fail", dash(st.Ready), plural(st.Voters, "voter"), st.FailureTolerance)},
		{"Leader", leader},
		{"Security", security(st)},
	}
	if p.saved != nil {
		all = append(all, fact{"Snapshot", fmt.Sprintf("%s, %s ago", p.saved.Name, ago(now, p.saved.Status.CompletedAt))})
	}
	space := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionVolumeSpace)
	if space != nil && space.Status == metav1.ConditionFalse {
		all = append(all, fact{"Volumes", space.Message})
	}
	return all
}

// security is in which phases gossip encryption, TLS and ACLs are.
func security(st v1alpha1.ConsulClusterStatus) string {
	off := func(phase string) string { return cmp.Or(phase, "Off") }
	return fmt.Sprintf("gossip %s, TLS %s, ACLs %s", off(string(st.GossipEncryption)), off(string(st.TLS)), off(string(st.ACLs)))
}

// servers is the table of the servers.
func servers(p picture, now time.Time, wide bool) string {
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	header := []string{"SERVER", "STATE", "ROLE", "VERSION", "ZONE", "NODE", "LAG", "VOLUME", "AGE"}
	if wide {
		header = append(header, "SERF", "CATALOG", "ADDRESS", "ID")
	}
	fmt.Fprintln(table, strings.Join(header, "\t"))
	for _, s := range p.Status.Servers {
		node := p.pods[s.Name].Spec.NodeName
		row := []string{
			s.Name, dash(string(s.State)), role(s), dash(s.Version), dash(p.zones[node]), dash(node), lag(s), used(s), age(p, s.Name, now),
		}
		if wide {
			row = append(row, dash(string(s.Serf)), dash(string(s.Catalog)), dash(s.Address), dash(s.ID))
		}
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	_ = table.Flush()
	return trimmed(b.String())
}

func role(s v1alpha1.ServerStatus) string {
	switch {
	case s.Leader:
		return "leader"
	case s.Voter:
		return "voter"
	case s.Raft == v1alpha1.RaftNonVoter:
		return "non-voter"
	}
	return "-"
}

// lag is how many entries a server is behind; Consul calls it healthy below 250, and the operator leaves such a lag out.
func lag(s v1alpha1.ServerStatus) string {
	switch {
	case s.Lag > 0:
		return fmt.Sprint(s.Lag)
	case s.Voter:
		return "<250"
	}
	return "-"
}

func used(s v1alpha1.ServerStatus) string {
	if s.VolumeUsed == nil {
		return "-"
	}
	return fmt.Sprintf("%d%%", *s.VolumeUsed)
}

func age(p picture, server string, now time.Time) string {
	pod, known := p.pods[server]
	if !known {
		return "-"
	}
	return ago(now, &pod.CreationTimestamp)
}

// trimmed takes away what tables leave at the ends of lines.
func trimmed(table string) string {
	lines := strings.Split(table, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// watchStatus shows the status again whenever it changes: on a terminal each time in the same place.
func (s *session) watchStatus(ctx context.Context, output string) error {
	err := s.watch(ctx, func(c *v1alpha1.ConsulCluster) (bool, error) {
		p, err := s.look(ctx, c)
		if err != nil {
			return false, err
		}
		if isTerminal(s.Out) && output != "json" && output != "yaml" {
			fmt.Fprint(s.Out, "\x1b[H\x1b[2J") // to the top, and clear
		}
		return false, s.print(p, output)
	})
	if ctx.Err() != nil {
		return &codedError{code: exitInterrupted}
	}
	return err
}
