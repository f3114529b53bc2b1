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
		if err := notNeeded(e.provideTokens(ctx, s), "set spec.acls.enabled to false"); err != nil {
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
// everything. Only a cluster without ACLs, or whose user provides one, gets another one.
func (e *Executor) provideTokens(ctx context.Context, s *observe.Snapshot) error {
	c := s.Cluster
	if s.HasTokens() && !s.Spec.ACLs.Rotation.Uncopied {
		return nil
	}
	tokens, err := e.managementTokens(ctx, c)
	// Nobody has a token yet, or a user provides the one that servers have.
	if errors.Is(err, errTokensLost) && (s.HasNoACLs() || s.UserSecrets.Tokens.Present != "") {
		tokens, err = newTokens(s)
	}
	if err != nil {
		return err
	}
	for _, secret := range []*corev1.Secret{
		resources.ManagementSecret(c, tokens), resources.TokensSecret(c, tokens),
	} {
		if err := e.put(ctx, c, secret); err != nil {
			return err
		}
	}
	return nil
}

// newTokens are those that a user provides, or new ones.
func newTokens(s *observe.Snapshot) (resources.ManagementTokens, error) {
	switch ref := s.Cluster.Spec.ACLs.ManagementTokenSecretRef; {
	case ref == nil:
		return resources.ManagementTokens{Present: resources.NewManagementToken()}, nil
	case s.UserSecrets.Tokens.Present == "":
		return resources.ManagementTokens{}, unusable("management token", ref.Name)
	}
	return s.UserSecrets.Tokens, nil
}

// errTokensLost means that no Secret has the management token.
var errTokensLost = errors.New("the management token of ACLs is lost")

// managementTokens reads the management tokens, past the cache, which leaves them out.
func (e *Executor) managementTokens(ctx context.Context, c *v1alpha1.ConsulCluster) (resources.ManagementTokens, error) {
	names := []string{resources.TokensSecretName(c.Name), resources.ManagementSecretName(c.Name)}
	var found [2]resources.ManagementTokens
	for i, name := range names {
		live := &corev1.Secret{}
		err := e.Live.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, live)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err == nil {
			err = checkOwner(c, live)
		}
		if err != nil {
			return resources.ManagementTokens{}, err
		}
		if found[i], err = resources.ManagementTokensOf(live); err != nil {
			return resources.ManagementTokens{}, damagedTokens(name, err)
		}
	}
	tokens, err := resources.Newest(found[0], found[1])
	if err != nil {
		return tokens, fmt.Errorf("the Secrets %s and %s: %w: servers have the token that `kubectl exec` finds in /consul/acl/token; "+
			"delete the Secret with the other one", names[0], names[1], err)
	}
	if tokens.Present == "" {
		return tokens, fmt.Errorf("%w: restore the Secret %s or %s from a backup, or bring the token that `kubectl exec` finds in "+
			"/consul/acl/token of a server, by spec.acls.managementTokenSecretRef", errTokensLost, names[0], names[1])
	}
	return tokens, nil
}

func damagedTokens(secret string, why error) error {
	return fmt.Errorf("the Secret %s is damaged (%w): delete it, and the operator writes it again from the other one", secret, why)
}

// makeTokens makes the tokens of the operator and of the servers in Consul, and takes note of it.
func (e *Executor) makeTokens(ctx context.Context, s *observe.Snapshot, a plan.MakeTokens) (Outcome, error) {
	secret, err := e.readAsSeen(ctx, s.TokensSecret)
	if err != nil {
		return Outcome{}, err
	}
	tokens, err := e.managementTokens(ctx, s.Cluster)
	if err != nil {
		return Outcome{}, err
	}
	if err := e.makeWithAny(ctx, s, a.Leader, tokens); err != nil {
		return Outcome{}, err
	}
	event := "the ACL tokens of the operator and of the servers were made"
	if resources.TokensMade(secret) {
		event = "the ACL tokens of the operator and of the servers were missing, and were made again"
	}
	return Outcome{Event: event}, e.patchIfNeeded(ctx, secret, func(o client.Object) {
		resources.SetTokensMade(o.(*corev1.Secret), e.Now())
	})
}

// makeWithAny makes the tokens that follow from the present management token. It authenticates with the first management
// token that the leader accepts: after a restore of an older snapshot that is a former one, and then the present one is
// made as well.
func (e *Executor) makeWithAny(ctx context.Context, s *observe.Snapshot, leader string, tokens resources.ManagementTokens) error {
	return e.withAny(s, leader, tokens, func(agent consul.Agent, by string) error {
		if by == tokens.Present {
			return makeRoles(ctx, agent, s.Cluster, tokens.Present, derivedRoles...)
		}
		return makeRoles(ctx, agent, s.Cluster, tokens.Present, allRoles...)
	})
}

// withAny does something with the first management token that the leader accepts.
func (e *Executor) withAny(
	s *observe.Snapshot, leader string, tokens resources.ManagementTokens, do func(agent consul.Agent, by string) error,
) (err error) {
	for _, by := range tokens.All() {
		if err = do(e.dialAs(s, leader, by), by); !errors.Is(err, consul.ErrForbidden) {
			return err
		}
	}
	return fmt.Errorf("%s accepts none of the management tokens in the Secret %s: delete its pod, and the next leader makes the "+
		"one that it was started with: %w", leader, resources.TokensSecretName(s.Cluster.Name), err)
}

// dialAs returns the agent of a server, called with a token.
func (e *Executor) dialAs(s *observe.Snapshot, server, token string) consul.Agent {
	target := s.Target(server)
	target.Token = token
	return e.Dial(target)
}
