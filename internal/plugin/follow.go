package plugin

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// following is how a command waits for what it has begun.
type following struct {
	noWait  bool
	timeout time.Duration
}

func (f *following) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.noWait, "no-wait", false, "return at once; the operator goes on by itself")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "stop waiting after this time, such as 10m; the operator goes on by itself")
}

// follow prints what the operator says whenever that changes, until the cluster is as it should be. What was begun goes on,
// however the wait ends.
func (s *session) follow(ctx context.Context, f following, work string, done func(*v1alpha1.ConsulCluster) bool) error {
	if f.noWait {
		fmt.Fprintf(s.Out, "The %s has begun. To watch: kubectl consul status %s -n %s --watch\n", work, s.key.Name, s.key.Namespace)
		return nil
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if f.timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, f.timeout)
	}
	defer cancel()
	start, said := time.Now(), ""
	err := s.watch(limited, func(c *v1alpha1.ConsulCluster) (bool, error) {
		if says := saying(c); says != said {
			said = says
			fmt.Fprintf(s.Out, "%6s  %s\n", elapsed(time.Since(start)), says)
		}
		if condition := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionStalled); isOfNow(c, condition) &&
			condition.Status == metav1.ConditionTrue {
			return false, &codedError{exitAttention, fmt.Sprintf("the %s needs you: %s\nWhat to do: kubectl consul explain %s -n %s",
				work, condition.Message, s.key.Name, s.key.Namespace)}
		}
		return done(c), nil
	})
	goesOn := fmt.Sprintf("The %s goes on. To watch: kubectl consul status %s -n %s --watch", work, s.key.Name, s.key.Namespace)
	switch {
	case err == nil:
		fmt.Fprintf(s.Out, "Done in %s.\n", elapsed(time.Since(start)))
		return nil
	case ctx.Err() != nil:
		fmt.Fprintln(s.ErrOut, "\nStopped watching. "+goesOn)
		return &codedError{code: exitInterrupted}
	case limited.Err() != nil:
		return &codedError{exitTimeout, fmt.Sprintf("not done after %s: %s\n%s", f.timeout, said, goesOn)}
	}
	return err
}

// watch calls look with the cluster as it is and each time it changes, until look says that it has seen enough.
func (s *session) watch(ctx context.Context, look func(*v1alpha1.ConsulCluster) (bool, error)) error {
	for ctx.Err() == nil {
		c, err := s.cluster(ctx)
		if err != nil {
			return err
		}
		if done, err := look(c); done || err != nil {
			return err
		}
		done, err := s.watchOnce(ctx, c.ResourceVersion, look)
		if done || err != nil {
			return err
		}
	}
	return ctx.Err()
}

// watchOnce watches until the API server ends it, which it does after some minutes.
func (s *session) watchOnce(
	ctx context.Context, from string, look func(*v1alpha1.ConsulCluster) (bool, error),
) (done bool, err error) {
	events, err := s.client.Watch(ctx, &v1alpha1.ConsulClusterList{}, client.InNamespace(s.key.Namespace),
		client.MatchingFields{"metadata.name": s.key.Name},
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: from}})
	if err != nil {
		return false, explained(err)
	}
	defer events.Stop()
	for event := range events.ResultChan() {
		c, isCluster := event.Object.(*v1alpha1.ConsulCluster)
		switch {
		case event.Type == watch.Deleted:
			return false, fmt.Errorf("ConsulCluster %s was deleted", s.key.Name)
		case !isCluster: // an error: it is watched anew
			return false, nil
		}
		if done, err := look(c); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// isReady reports whether the newest spec is reached, and nothing is left to do.
func isReady(c *v1alpha1.ConsulCluster) bool {
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	return isOfNow(c, ready) && ready.Status == metav1.ConditionTrue
}

// isOfNow reports whether a condition is about the newest spec.
func isOfNow(c *v1alpha1.ConsulCluster, condition *metav1.Condition) bool {
	return condition != nil && condition.ObservedGeneration == c.Generation && c.Status.ObservedGeneration == c.Generation
}

// saying is what the operator says of the cluster, in a line.
func saying(c *v1alpha1.ConsulCluster) string {
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || c.Status.ObservedGeneration != c.Generation {
		return "the operator has not looked at it yet"
	}
	return ready.Reason + ": " + ready.Message
}
