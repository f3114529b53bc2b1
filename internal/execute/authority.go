package execute

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// rotateAuthority takes a step of the rotation of the certificate authority. What servers and clients are to believe
// changes here; they get it with their next certificate.
func (e *Executor) rotateAuthority(ctx context.Context, s *observe.Snapshot, a plan.RotateAuthority) (Outcome, error) {
	live := &corev1.Secret{}
	key := client.ObjectKey{Namespace: s.Cluster.Namespace, Name: resources.AuthoritySecretName(s.Cluster.Name)}
	if err := e.readLive(ctx, key, live); err != nil {
		return Outcome{}, err
	}
	if seen := s.AuthoritySecret; seen == nil || live.UID != seen.UID || live.ResourceVersion != seen.ResourceVersion {
		return Outcome{}, fmt.Errorf("%w: the certificate authority has changed", ErrStale)
	}
	switch a.Step {
	case plan.IntroduceAuthority:
		return e.introduceAuthority(ctx, s, live, a.Because)
	case plan.PromoteAuthority:
		next := resources.NextAuthority(live)
		return Outcome{Event: "another certificate authority issues from now on: " + a.Because},
			e.patch(ctx, live, func(o client.Object) { resources.SetAuthority(o.(*corev1.Secret), next) })
	case plan.ForgetAuthority:
		return Outcome{Event: "the former certificate authority is forgotten: " + a.Because},
			e.put(ctx, s.Cluster, resources.AuthoritiesSecret(s.Cluster, resources.PairOf(live).Certificate))
	}
	return Outcome{}, fmt.Errorf("%q is no step of a rotation", a.Step)
}

// introduceAuthority makes another authority, if there is none yet, and then has everybody believe it as well.
func (e *Executor) introduceAuthority(
	ctx context.Context, s *observe.Snapshot, live *corev1.Secret, because string,
) (Outcome, error) {
	next, event := resources.NextAuthority(live), ""
	if !pki.IsAuthority(next.Certificate) {
		var err error
		if next, err = resources.NewAuthority(s.Cluster, e.Now()); err != nil {
			return Outcome{}, err
		}
		if err := e.patch(ctx, live, func(o client.Object) {
			resources.SetNextAuthority(o.(*corev1.Secret), s.Cluster, next, e.Now())
		}); err != nil {
			return Outcome{}, err
		}
		event = "servers and clients are to believe another certificate authority as well: " + because
	}
	both := slices.Concat(bytes.TrimRight(resources.PairOf(live).Certificate, "\n"), []byte("\n"), next.Certificate)
	told := resources.AuthoritiesSecret(s.Cluster, both)
	annotate(v1alpha1.AnnotationKeysChanged, e.timestamp())(told)
	return Outcome{Event: event}, e.put(ctx, s.Cluster, told)
}
