package plugin

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

func (s *session) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain [CLUSTER]", Args: clusterArgs,
		Short: "Say what the operator waits for, and what you can do",
		Long: `Say what the operator waits for, why, since when, and what you can do.

Exit code 3 if the cluster needs a person.`,
		RunE: func(cmd *cobra.Command, args []string) error { return s.explain(cmd.Context(), args) },
	}
}

func (s *session) explain(ctx context.Context, args []string) error {
	if err := s.on(ctx, args); err != nil {
		return err
	}
	c, err := s.cluster(ctx)
	if err != nil {
		return err
	}
	explanation(s.Out, c, time.Now())
	if meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionStalled) {
		return &codedError{code: exitAttention}
	}
	return nil
}

// explanation says what the operator does or waits for, and what it has tried in vain.
func explanation(out io.Writer, c *v1alpha1.ConsulCluster, now time.Time) {
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		fmt.Fprintln(out, wrapped("The operator has not looked at this cluster yet. If that lasts, it does not run, or does not watch "+
			"this namespace. Look at its log: kubectl logs deployment/consul-operator -n consul-operator-system", 0))
		return
	}
	if c.Status.ObservedGeneration != c.Generation {
		fmt.Fprintln(out, wrapped("The operator has not looked at the newest spec yet. What follows is about the one before.", 0)+"\n")
	}
	fmt.Fprintln(out, headline(c, ready, now))
	meaning(out, ready.Reason, ready.Message)
	for _, failure := range c.Status.Failures {
		if failure.Reason == ready.Reason && failure.Message == ready.Message {
			continue
		}
		fmt.Fprintf(out, "\nTried in vain: %s, for %s (%s)\n", failure.Attempt, ago(now, &failure.Since), failure.Reason)
		meaning(out, failure.Reason, failure.Message)
	}
	for _, kind := range []string{v1alpha1.ConditionAvailable, v1alpha1.ConditionSecure, v1alpha1.ConditionVolumeSpace} {
		if condition := meta.FindStatusCondition(c.Status.Conditions, kind); condition != nil &&
			condition.Status == metav1.ConditionFalse && condition.Message != ready.Message {
			fmt.Fprintf(out, "\nNot %s (%s)\n", kind, condition.Reason)
			meaning(out, condition.Reason, condition.Message)
		}
	}
	for _, d := range c.Status.Disagreements {
		fmt.Fprintf(out, "\nNot all agree on %s\n%s\n%s\n", cmp.Or(d.Name, d.ID), wrapped(d.Problem, 2), wrapped(d.Action, 2))
	}
}

// headline names the reason, the rule that decided and since when.
func headline(c *v1alpha1.ConsulCluster, ready *metav1.Condition, now time.Time) string {
	text := fmt.Sprintf("%s in namespace %s: %s", c.Name, c.Namespace, ready.Reason)
	if c.Status.WaitingSince != nil && ready.Status != metav1.ConditionTrue {
		text += ", for " + ago(now, c.Status.WaitingSince)
	}
	if c.Status.Rule != "" {
		text += ", by the rule " + c.Status.Rule
	}
	return text
}

// meaning says what is the case, what it means, and what a person can do.
func meaning(out io.Writer, why, message string) {
	fmt.Fprintln(out, wrapped(message, 2))
	info, known := reason.Of(reason.Reason(why))
	if !known || why == string(reason.Healthy) {
		return
	}
	fmt.Fprintf(out, "\n  What it means\n%s\n  What you can do\n", wrapped(plain(info.Means), 4))
	switch {
	case info.Act != "":
		fmt.Fprintln(out, wrapped(plain(info.Act), 4))
	case info.Attention == reason.NoAttention:
		fmt.Fprintln(out, "    nothing: it ends by itself")
	}
	if info.Attention == reason.AttentionIfItLasts && info.Act != "" {
		fmt.Fprintln(out, "    It may end by itself.")
	}
	if info.Runbook != "" {
		fmt.Fprintf(out, "    Runbook: docs/%s\n", info.Runbook)
	}
}
