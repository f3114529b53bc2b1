package execute

import (
	"context"
	"fmt"

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
	live, err := e.readAsSeen(ctx, s.AuthoritySecret)
	if err != nil {
		return Outcome{}, err
	}
	switch a.Step {
	case plan.IntroduceAuthority:
		return e.introduceAuthority(ctx, s, live, a.Because)
	case plan.PromoteAuthority:
		return e.promoteAuthority(ctx, s, live, a.Because)
	case plan.ForgetAuthority:
		return e.forgetAuthority(ctx, s, live, a.Because)
	}
	return Outcome{}, fmt.Errorf("%q is no step of a rotation", a.Step)
}

// promoteAuthority has the next authority issue from now on. One that cannot is replaced: the present one is not given away
// for it.
func (e *Executor) promoteAuthority(
	ctx context.Context, s *observe.Snapshot, live *corev1.Secret, because string,
) (Outcome, error) {
	next := resources.NextAuthority(live)
	certificate, err := e.newCertificate(s, next, s.TLSName)
	if err != nil || !lasts(s, certificate, e.Now()) {
		resources.SetNextAuthority(live, s.Cluster, pki.Pair{}, e.Now())
		return e.introduceAuthority(ctx, s, live, "the one that was to issue cannot")
	}
	if err := e.patch(ctx, live, func(o client.Object) { resources.PromoteAuthority(o.(*corev1.Secret)) }); err != nil {
		return Outcome{}, err
	}
	return e.wordUsed(ctx, s, plan.PromoteAuthority, "another certificate authority issues from now on: "+because)
}

// forgetAuthority has nobody believe the former authority any more. Where that is remembered goes first.
func (e *Executor) forgetAuthority(
	ctx context.Context, s *observe.Snapshot, live *corev1.Secret, because string,
) (Outcome, error) {
	if err := e.patch(ctx, live, func(o client.Object) { resources.ForgetFormerAuthority(o.(*corev1.Secret)) }); err != nil {
		return Outcome{}, err
	}
	told := resources.AuthoritiesSecret(s.Cluster, resources.PairOf(live).Certificate)
	if err := e.put(ctx, s.Cluster, told); err != nil {
		return Outcome{}, err
	}
	return e.wordUsed(ctx, s, plan.ForgetAuthority, "the former certificate authority is forgotten: "+because)
}

// wordUsed removes a person's word for a step that was taken.
func (e *Executor) wordUsed(
	ctx context.Context, s *observe.Snapshot, taken plan.AuthorityStep, event string,
) (Outcome, error) {
	if s.Cluster.Annotations[v1alpha1.AnnotationAgentsReady] != taken.Word() {
		return Outcome{Event: event}, nil
	}
	return e.record(ctx, s, event, useUp(taken.Word()))
}

// introduceAuthority makes another authority, if there is none yet, and then has everybody believe it as well. One that a
// person has taken back meanwhile is believed no more.
func (e *Executor) introduceAuthority(
	ctx context.Context, s *observe.Snapshot, live *corev1.Secret, because string,
) (Outcome, error) {
	next, event := resources.NextAuthority(live), ""
	theirs := s.UserSecrets.Authority.Certificate
	suits := resources.SuitsSpec(live, s.Cluster)
	if !pki.IsAuthority(next.Certificate) || !suits || len(theirs) > 0 && !pki.Same(next.Certificate, theirs) {
		var err error
		if next, err = e.newAuthority(s); err != nil {
			return Outcome{}, err
		}
		if err := e.patch(ctx, live, func(o client.Object) {
			resources.SetNextAuthority(o.(*corev1.Secret), s.Cluster, next, e.Now())
		}); err != nil {
			return Outcome{}, err
		}
		event = "servers and clients are to believe another certificate authority as well: " + because
	}
	told := resources.AuthoritiesSecret(s.Cluster, pki.Join(resources.Authorities(live), next.Certificate))
	annotate(v1alpha1.AnnotationKeysChanged, e.timestamp())(told)
	return Outcome{Event: event}, e.put(ctx, s.Cluster, told)
}
