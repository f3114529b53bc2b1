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
	if s.HasTokens() && e.hasSameToken(ctx, s) {
		return nil
	}
	tokens, err := e.managementTokens(ctx, c)
	if errors.Is(err, errTokensLost) && s.HasNoACLs() { // nobody has a token yet
		tokens, err = resources.ManagementTokens{Present: resources.NewManagementToken()}, nil
	}
	if err != nil {
		return err
	}
	wanted, err := resources.TokensSecret(c, tokens)
	if err != nil {
		return err
	}
	for _, secret := range []*corev1.Secret{resources.ManagementSecret(c, tokens.Present), wanted} {
		if err := e.put(ctx, c, secret); err != nil {
			return err
		}
	}
	return nil
}

// hasSameToken reports whether the Secret for people holds the management token that servers get.
func (e *Executor) hasSameToken(ctx context.Context, s *observe.Snapshot) bool {
	secret, name := &corev1.Secret{}, resources.ManagementSecretName(s.Cluster.Name)
	err := e.Client.Get(ctx, client.ObjectKey{Namespace: s.Cluster.Namespace, Name: name}, secret)
	return err == nil && resources.Belongs(s.Cluster, secret) && resources.HaveSameToken(secret, s.TokensSecret)
}

// errTokensLost means that no Secret has the management token.
var errTokensLost = errors.New("the management token of ACLs is lost")

// managementTokens reads the management tokens, past the cache, which leaves them out: from the Secret that servers start
// with, or else from the other one.
func (e *Executor) managementTokens(ctx context.Context, c *v1alpha1.ConsulCluster) (resources.ManagementTokens, error) {
	names := []string{resources.TokensSecretName(c.Name), resources.ManagementSecretName(c.Name)}
	for _, name := range names {
		live := &corev1.Secret{}
		err := e.Live.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, live)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return resources.ManagementTokens{}, err
		}
		if err := checkOwner(c, live); err != nil {
			return resources.ManagementTokens{}, err
		}
		tokens, err := resources.ManagementTokensOf(live)
		if err != nil {
			return resources.ManagementTokens{}, fmt.Errorf("the Secret %s is damaged (%w): delete it, and the operator writes it again",
				name, err)
		}
		if tokens.Present != "" {
			return tokens, nil
		}
	}
	return resources.ManagementTokens{},
		fmt.Errorf("%w: restore the Secret %s or %s from a backup", errTokensLost, names[0], names[1])
}

// makeTokens makes the tokens of the operator and of the servers in Consul, and takes note of it.
func (e *Executor) makeTokens(ctx context.Context, s *observe.Snapshot, a plan.MakeTokens) (Outcome, error) {
	if s.TokensSecret == nil {
		return Outcome{}, fmt.Errorf("%w: the Secret with the ACL tokens was not seen", ErrStale)
	}
	tokens, err := e.managementTokens(ctx, s.Cluster)
	if err != nil {
		return Outcome{}, err
	}
	if err := e.makeAsAny(ctx, s, a.Leader, tokens); err != nil {
		return Outcome{}, err
	}
	if s.Spec.ACLs.Made && s.Spec.ACLs.Rotation.Stage != plan.TokensRevoked {
		return Outcome{Event: "the ACL tokens of the operator and of the servers were missing, and were made again"}, nil
	}
	return Outcome{Event: "the ACL tokens of the operator and of the servers were made"},
		e.patch(ctx, s.TokensSecret, func(o client.Object) { resources.SetTokensMade(o.(*corev1.Secret), e.Now()) })
}

// makeAsAny makes the tokens that follow from the present management token, by the first management token that the leader takes.
// One of before is what it has if a snapshot was restored that is older than the rotation.
func (e *Executor) makeAsAny(
	ctx context.Context, s *observe.Snapshot, leader string, tokens resources.ManagementTokens,
) (err error) {
	for _, management := range tokens.All() {
		roles := []resources.Role{resources.RoleServers, resources.RoleOperator}
		if management != tokens.Present {
			roles = append([]resources.Role{resources.RoleManagement}, roles...)
		}
		agent := e.dialAs(s, leader, management)
		if err = makeRoles(ctx, agent, s.Cluster, tokens.Present, roles...); !errors.Is(err, consul.ErrForbidden) {
			return err
		}
	}
	return fmt.Errorf("%s knows none of the management tokens in the Secret %s: delete its pod, and the next leader makes the "+
		"present one: %w", leader, resources.TokensSecretName(s.Cluster.Name), err)
}

// dialAs returns the agent of a server, called with a token.
func (e *Executor) dialAs(s *observe.Snapshot, server, token string) consul.Agent {
	target := s.Target(server)
	target.Token = token
	return e.Dial(target)
}
