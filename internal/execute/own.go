package execute

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// ErrNameTaken means that an object of a name that the cluster needs is not the cluster's. The error is a *TakenError.
var ErrNameTaken = errors.New("the name is taken")

// TakenError names an object that is not the cluster's.
type TakenError struct {
	Kind, Name string
	// Owner is its controller, such as "StatefulSet consul"; empty if it has none.
	Owner string
	// Or is another remedy, after a comma; empty for none.
	Or string
}

// Error says what a person can do.
func (e *TakenError) Error() string {
	of := ""
	if e.Owner != "" {
		of = ", but to " + e.Owner
	}
	return fmt.Sprintf("%s %s exists and does not belong to this cluster%s: delete or rename it, or create the ConsulCluster "+
		"under another name%s", e.Kind, e.Name, of, e.Or)
}

// Is makes a TakenError an ErrNameTaken.
func (e *TakenError) Is(target error) bool { return target == ErrNameTaken }

// checkOwner returns a TakenError if an object is not the cluster's. It is ErrStale as well if garbage collection is about to
// delete the object, because it belongs to a former cluster of this name.
func checkOwner(c *v1alpha1.ConsulCluster, o client.Object) error {
	if resources.Belongs(c, o) {
		return nil
	}
	taken := &TakenError{Kind: kindOf(o), Name: o.GetName()}
	owner := metav1.GetControllerOf(o)
	if owner == nil {
		return taken
	}
	taken.Owner = owner.Kind + " " + owner.Name
	if owner.Kind == "ConsulCluster" && owner.Name == c.Name && owner.UID != c.UID {
		return fmt.Errorf("%w: %w", ErrStale, taken)
	}
	return taken
}

// notNeeded has a name that is taken hold nothing up: nothing needs it unless a field of the spec goes on asking for it.
func notNeeded(err error, otherwise string) error {
	var taken *TakenError
	if errors.As(err, &taken) && !errors.Is(err, ErrStale) {
		return fmt.Errorf("%s, or %s", taken.Error(), otherwise)
	}
	return err
}

func kindOf(o client.Object) string {
	if kind := o.GetObjectKind().GroupVersionKind().Kind; kind != "" {
		return kind
	}
	return reflect.TypeOf(o).Elem().Name()
}

// create creates an object and reports whether it did. One of its name that is there already becomes live.
func (e *Executor) create(ctx context.Context, wanted, live client.Object) (bool, error) {
	err := e.Client.Create(ctx, wanted)
	if apierrors.IsAlreadyExists(err) {
		return false, e.readLive(ctx, client.ObjectKeyFromObject(wanted), live)
	}
	return err == nil, err
}

// readLive reads an object past the cache, which has only objects with the operator's labels.
func (e *Executor) readLive(ctx context.Context, key client.ObjectKey, live client.Object) error {
	if err := e.Live.Get(ctx, key, live); err != nil {
		return fmt.Errorf("reading %s %s: %w", kindOf(live), key.Name, err)
	}
	return nil
}

// readAsSeen reads a Secret past the cache, which leaves keys out, unless it was not there, or has changed since.
func (e *Executor) readAsSeen(ctx context.Context, seen *corev1.Secret) (*corev1.Secret, error) {
	if seen == nil {
		return nil, fmt.Errorf("%w: the Secret was not there", ErrStale)
	}
	live := &corev1.Secret{}
	if err := e.readLive(ctx, client.ObjectKeyFromObject(seen), live); err != nil {
		return nil, err
	}
	if live.UID != seen.UID || live.ResourceVersion != seen.ResourceVersion {
		return nil, fmt.Errorf("%w: the Secret %s has changed", ErrStale, seen.Name)
	}
	return live, nil
}

// relabel puts the labels of an object of the cluster back that somebody has taken off.
func (e *Executor) relabel(ctx context.Context, c *v1alpha1.ConsulCluster, live client.Object, labels map[string]string) error {
	if err := checkOwner(c, live); err != nil {
		return err
	}
	labels = overlay(live.GetLabels(), labels)
	if maps.Equal(labels, live.GetLabels()) {
		return nil
	}
	return e.patch(ctx, live, func(o client.Object) { o.SetLabels(labels) })
}

// ownAnnotations are the annotations of an object with those that are wanted, and without those that were: which are ours is one
// of them. Others are left alone.
func ownAnnotations(live, wanted map[string]string) map[string]string {
	all := overlay(live, wanted)
	for _, key := range strings.Fields(live[v1alpha1.AnnotationOwn]) {
		if _, is := wanted[key]; !is {
			delete(all, key)
		}
	}
	delete(all, v1alpha1.AnnotationOwn)
	if len(wanted) > 0 {
		all[v1alpha1.AnnotationOwn] = strings.Join(slices.Sorted(maps.Keys(wanted)), " ")
	}
	return all
}

func overlay(base, over map[string]string) map[string]string {
	merged := map[string]string{}
	maps.Copy(merged, base)
	maps.Copy(merged, over)
	return merged
}
