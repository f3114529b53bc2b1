package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
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
	// past is what the operator said before the change, and says until it has seen it: no answer to the change. Empty where the
	// generation tells.
	past string
}

func (f *following) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.noWait, "no-wait", false, "return at once; the operator goes on by itself")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "stop waiting after this time, such as 10m; the operator goes on by itself")
}

// follow prints what the operator says of the cluster whenever that changes, until it is as it should be. What was begun goes on,
// however the wait ends.
func (s *session) follow(ctx context.Context, f following, work string, done func(*v1alpha1.ConsulCluster) bool) error {
	c := &v1alpha1.ConsulCluster{}
	c.Name, c.Namespace = s.key.Name, s.key.Namespace
	return followTask(ctx, s, f, task[*v1alpha1.ConsulCluster]{
		name: work, of: c, done: done,
		toWatch: fmt.Sprintf("kubectl consul status %s -n %s --watch", s.key.Name, s.key.Namespace),
		help: func(*v1alpha1.ConsulCluster, *metav1.Condition) string {
			return fmt.Sprintf("What to do: kubectl consul explain %s -n %s", s.key.Name, s.key.Namespace)
		},
	})
}

// task is what the operator does for an object.
type task[T client.Object] struct {
	name string
	// of is the object, by its name.
	of   T
	done func(T) bool
	// toWatch is the command with which a person goes on watching.
	toWatch string
	// help says what a person does whom the operator needs; empty if nobody knows.
	help func(o T, why *metav1.Condition) string
}

// followTask prints what the operator says of an object whenever that changes, until the task is done.
func followTask[T client.Object](ctx context.Context, s *session, f following, t task[T]) error {
	if f.noWait {
		fmt.Fprintf(s.Out, "The %s has begun. To watch: %s\n", t.name, t.toWatch)
		return nil
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if f.timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, f.timeout)
	}
	defer cancel()
	start, said := time.Now(), ""
	err := watchObject(limited, s, t.of, func(o T) (bool, error) {
		says := saying(o)
		if says == f.past {
			return false, nil
		}
		f.past = ""
		if says != said {
			said = says
			fmt.Fprintf(s.Out, "%6s  %s\n", elapsed(time.Since(start)), says)
		}
		conditions, _ := toldOf(o)
		if stalled := meta.FindStatusCondition(conditions, v1alpha1.ConditionStalled); isOfNow(o, stalled) &&
			stalled.Status == metav1.ConditionTrue {
			return false, t.needsPerson(o, stalled)
		}
		return t.done(o), nil
	})
	goesOn := fmt.Sprintf("The %s goes on. To watch: %s", t.name, t.toWatch)
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

func (t task[T]) needsPerson(o T, why *metav1.Condition) error {
	text := fmt.Sprintf("the %s needs you: %s", t.name, why.Message)
	if help := t.help(o, why); help != "" {
		text += "\n" + help
	}
	return &codedError{exitAttention, text}
}

// watch calls look with the cluster as it is and each time it changes, until look says that it has seen enough.
func (s *session) watch(ctx context.Context, look func(*v1alpha1.ConsulCluster) (bool, error)) error {
	c := &v1alpha1.ConsulCluster{}
	c.Name, c.Namespace = s.key.Name, s.key.Namespace
	return watchObject(ctx, s, c, look)
}

// errDeleted ends a watch.
var errDeleted = errors.New("it was deleted")

// watchObject does the same with an object of any kind, by its name.
func watchObject[T client.Object](ctx context.Context, s *session, of T, look func(T) (bool, error)) error {
	for ctx.Err() == nil {
		o, _ := of.DeepCopyObject().(T) // a copy is of the same type
		if err := s.client.Get(ctx, client.ObjectKeyFromObject(of), o); err != nil {
			return explained(err)
		}
		if done, err := look(o); done || err != nil {
			return err
		}
		done, err := watchOnce(ctx, s, o, look)
		if done || err != nil {
			return err
		}
	}
	return ctx.Err()
}

// watchOnce watches from an object on, until the API server ends it, which it does after some minutes.
func watchOnce[T client.Object](ctx context.Context, s *session, from T, look func(T) (bool, error)) (done bool, err error) {
	events, err := s.client.Watch(ctx, listFor(from), client.InNamespace(from.GetNamespace()),
		client.MatchingFields{"metadata.name": from.GetName()},
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: from.GetResourceVersion()}})
	if err != nil {
		return false, explained(err)
	}
	defer events.Stop()
	for event := range events.ResultChan() {
		o, is := event.Object.(T)
		switch {
		case event.Type == watch.Deleted:
			return false, fmt.Errorf("%s %s: %w", kindOf(from), from.GetName(), errDeleted)
		case !is: // an error: it is watched anew
			return false, nil
		}
		if done, err := look(o); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// listFor is an empty list of objects of the same kind.
func listFor(o client.Object) client.ObjectList {
	switch o.(type) {
	case *corev1.Pod:
		return &corev1.PodList{}
	case *v1alpha1.ConsulSnapshot:
		return &v1alpha1.ConsulSnapshotList{}
	case *v1alpha1.ConsulRestore:
		return &v1alpha1.ConsulRestoreList{}
	}
	return &v1alpha1.ConsulClusterList{}
}

// toldOf is what the operator says of an object: conditions, and which generation it has seen.
func toldOf(o client.Object) (conditions []metav1.Condition, generation int64) {
	switch o := o.(type) {
	case *v1alpha1.ConsulCluster:
		return o.Status.Conditions, o.Status.ObservedGeneration
	case *v1alpha1.ConsulSnapshot:
		return o.Status.Conditions, o.Status.ObservedGeneration
	case *v1alpha1.ConsulRestore:
		return o.Status.Conditions, o.Status.ObservedGeneration
	}
	return nil, 0
}

// isReady reports whether the newest spec is reached, and nothing is left to do.
func isReady[T client.Object](o T) bool {
	conditions, _ := toldOf(o)
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	return isOfNow(o, ready) && ready.Status == metav1.ConditionTrue
}

// isOfNow reports whether a condition is about the newest spec.
func isOfNow(o client.Object, condition *metav1.Condition) bool {
	_, seen := toldOf(o)
	return condition != nil && condition.ObservedGeneration == o.GetGeneration() && seen == o.GetGeneration()
}

// saying is what the operator says of an object, in a line.
func saying(o client.Object) string {
	conditions, seen := toldOf(o)
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if ready == nil || seen != o.GetGeneration() {
		return "the operator has not looked at it yet"
	}
	return ready.Reason + ": " + ready.Message
}
