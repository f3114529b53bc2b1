package observe

import (
	"cmp"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// UserSecrets is what users provide in Secrets that their spec names. What they do not provide, or what cannot be used, is empty.
type UserSecrets struct {
	Key resources.GossipKeys
	// Authority has no key where the user provides the Certificate.
	Authority, Certificate pki.Pair
	Tokens                 resources.ManagementTokens
	// problem says what of it cannot be used.
	problem *plan.Problem
}

// source is a Secret that a field of the spec names.
type source struct {
	field, secret string
	read          func(secret *corev1.Secret) error
}

// userSecrets reads the Secrets of users that the spec names.
func (o *Observer) userSecrets(ctx context.Context, s *Snapshot) error {
	sources := o.sources(s)
	s.Spec.ReadsSecrets = len(sources) > 0 || len(s.Cluster.Spec.ConfigFrom) > 0
	for _, from := range sources {
		if err := o.take(ctx, s, from); err != nil {
			return err
		}
	}
	return nil
}

// sources are the Secrets of users that a cluster needs.
func (o *Observer) sources(s *Snapshot) (all []source) {
	spec, b := &s.Cluster.Spec, &s.UserSecrets
	if ref := spec.GossipEncryption.SecretRef; ref != nil && !isOff(spec.GossipEncryption.Enabled, s.Spec.Gossip.Phase) {
		all = append(all, source{"spec.gossipEncryption.secretRef", ref.Name, func(secret *corev1.Secret) (err error) {
			b.Key, err = resources.UserGossipKey(secret, ref.Key)
			return err
		}})
	}
	if ref := spec.TLS.CASecretRef; ref != nil && !isOff(spec.TLS.Enabled, s.Spec.TLS.Phase) {
		all = append(all, source{"spec.tls.caSecretRef", ref.Name, func(secret *corev1.Secret) (err error) {
			b.Authority, err = resources.UserAuthority(secret, s.Cluster, o.Now())
			return err
		}})
	}
	if ref := spec.TLS.CertSecretRef; ref != nil && !isOff(spec.TLS.Enabled, s.Spec.TLS.Phase) {
		all = append(all, source{"spec.tls.certSecretRef", ref.Name, func(secret *corev1.Secret) (err error) {
			b.Certificate, b.Authority, err = resources.UserCertificate(secret, s.Cluster, o.Now())
			return err
		}})
	}
	if ref := spec.ACLs.ManagementTokenSecretRef; ref != nil && !isOff(spec.ACLs.Enabled, s.Spec.ACLs.Phase) {
		all = append(all, source{"spec.acls.managementTokenSecretRef", ref.Name, func(secret *corev1.Secret) (err error) {
			b.Tokens, err = resources.UserToken(secret, ref.Key)
			return err
		}})
	}
	return all
}

// replacementOf is what a request and an age say of what a Secret holds.
func replacementOf(
	c *v1alpha1.ConsulCluster, secret *corev1.Secret, annotation string, every *metav1.Duration,
) plan.Replacement {
	return plan.Replacement{
		Asked: resources.IsAsked(c, secret, annotation), Since: resources.KeysChanged(secret), Every: duration(every, 0),
	}
}

// isOff reports whether something is switched off and has come to its first phase.
func isOff[P ~int](enabled *bool, phase P) bool { return enabled != nil && !*enabled && phase == 0 }

// take reads a Secret past the cache, which has only those of clusters. One that cannot be used is a problem of the spec.
func (o *Observer) take(ctx context.Context, s *Snapshot, from source) error {
	secret := &corev1.Secret{}
	err := o.Live.Get(ctx, client.ObjectKey{Namespace: s.Cluster.Namespace, Name: from.secret}, secret)
	switch {
	case apierrors.IsNotFound(err):
		err = fmt.Errorf("the Secret %s does not exist", from.secret)
	case apierrors.IsForbidden(err):
		err = fmt.Errorf("the operator may not read the Secret %s: give it the right to", from.secret)
	case err != nil:
		return fmt.Errorf("%s: %w", from.field, err)
	default:
		err = from.read(secret)
	}
	if err != nil {
		s.UserSecrets.problem = cmp.Or(s.UserSecrets.problem,
			&plan.Problem{Reason: reason.InvalidSpec, Message: fmt.Sprintf("%s: %v", from.field, err)})
	}
	return nil
}
