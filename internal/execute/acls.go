package execute

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// setACLs records a phase, once the Secrets are there that its servers need.
func (e *Executor) setACLs(ctx context.Context, s *observe.Snapshot, a plan.SetACLs) (Outcome, error) {
	if a.Phase == s.Spec.ACLs.Phase {
		return e.record(ctx, s, fmt.Sprintf("the record that ACLs are %s is missing: it is written again", a.Phase),
			annotate(v1alpha1.AnnotationACLs, a.Phase.String()))
	}
	if a.Phase != plan.ACLsOff {
		if err := notNeeded(e.provideTokens(ctx, s), "spec.acls.enabled"); err != nil {
			return Outcome{}, err
		}
	}
	return e.record(ctx, s, fmt.Sprintf("ACLs go from %s to %s", s.Spec.ACLs.Phase, a.Phase),
		annotate(v1alpha1.AnnotationACLs, a.Phase.String()))
}

// ensureTokens keeps the Secrets with the tokens while servers have ACLs.
func (e *Executor) ensureTokens(ctx context.Context, s *observe.Snapshot) error {
	if s.HasNoACLs() {
		return nil
	}
	return e.provideTokens(ctx, s)
}

// provideTokens creates the Secrets with the tokens, or one of them from the other: all tokens follow from the one that may do
// everything. Only a cluster without ACLs gets a new one.
func (e *Executor) provideTokens(ctx context.Context, s *observe.Snapshot) error {
	c := s.Cluster
	if s.HasTokens() && e.cached(ctx, s, resources.ManagementSecretName(c.Name)) {
		return nil
	}
	management, err := e.managementToken(ctx, c)
	if errors.Is(err, errTokensLost) && s.HasNoACLs() { // nobody has a token yet
		management, err = resources.NewManagementToken(), nil
	}
	if err != nil {
		return err
	}
	tokens, err := resources.TokensSecret(c, management)
	if err != nil {
		return err
	}
	for _, secret := range []*corev1.Secret{resources.ManagementSecret(c, management), tokens} {
		if err := e.put(ctx, c, secret); err != nil {
			return err
		}
	}
	return nil
}

// cached reports whether the cache shows a Secret of the cluster.
func (e *Executor) cached(ctx context.Context, s *observe.Snapshot, name string) bool {
	secret := &corev1.Secret{}
	err := e.Client.Get(ctx, client.ObjectKey{Namespace: s.Cluster.Namespace, Name: name}, secret)
	return err == nil && resources.Belongs(s.Cluster, secret)
}

// errTokensLost means that no Secret has the management token.
var errTokensLost = errors.New("the management token of ACLs is lost")

// managementToken reads the management token, past the cache, which leaves it out: from the Secret that servers start with, or
// else from the other one.
func (e *Executor) managementToken(ctx context.Context, c *v1alpha1.ConsulCluster) (string, error) {
	names := []string{resources.TokensSecretName(c.Name), resources.ManagementSecretName(c.Name)}
	for _, name := range names {
		live := &corev1.Secret{}
		err := e.Live.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, live)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return "", err
		}
		if err := checkOwner(c, live); err != nil {
			return "", err
		}
		if token := resources.ManagementToken(live); token != "" {
			return token, nil
		}
	}
	return "", fmt.Errorf("%w: restore the Secret %s or %s from a backup", errTokensLost, names[0], names[1])
}

// makeTokens makes the tokens of the operator and of the servers in Consul, and takes note of it.
func (e *Executor) makeTokens(ctx context.Context, s *observe.Snapshot, a plan.MakeTokens) (Outcome, error) {
	c := s.Cluster
	if s.TokensSecret == nil {
		return Outcome{}, fmt.Errorf("%w: the Secret with the ACL tokens was not seen", ErrStale)
	}
	management, err := e.managementToken(ctx, c)
	if err != nil {
		return Outcome{}, err
	}
	target := s.Target(a.Leader)
	target.Token = management
	leader := e.Dial(target)
	for _, role := range []resources.Role{resources.RoleServers, resources.RoleOperator} {
		token := resources.Token(management, role)
		if err := leader.MakeToken(ctx, consul.Token{
			Accessor: token.Accessor, Secret: token.Secret, Policy: role.Policy(), Rules: resources.TokenRules(c.Name, role),
			Description: "made by consul-operator, which makes it again if it is missing",
		}); err != nil {
			return Outcome{}, err
		}
	}
	if s.Spec.ACLs.Made {
		return Outcome{Event: "the ACL tokens of the operator and of the servers were missing, and were made again"}, nil
	}
	return Outcome{Event: "the ACL tokens of the operator and of the servers were made"},
		e.patch(ctx, s.TokensSecret, func(o client.Object) { resources.SetTokensMade(o.(*corev1.Secret), e.Now()) })
}
