package execute

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// madeByUs says in Consul whose a token or a policy is.
const madeByUs = "made by consul-operator, which makes it again if it is missing"

// derivedRoles are those whose tokens follow from the management token, in Consul, and allRoles that one as well.
var (
	derivedRoles = []resources.Role{resources.RoleServers, resources.RoleMetrics, resources.RoleOperator}
	allRoles     = append([]resources.Role{resources.RoleManagement}, derivedRoles...)
)

// makeRoles makes the tokens of roles that follow from a management token.
func makeRoles(
	ctx context.Context, agent consul.Agent, c *v1alpha1.ConsulCluster, management string, roles ...resources.Role,
) error {
	for _, role := range roles {
		token := resources.Token(management, role)
		if err := agent.MakeToken(ctx, consul.Token{
			Accessor: token.Accessor, Secret: token.Secret, Description: madeByUs,
			Policy: consul.Policy{Name: role.Policy(), Rules: resources.TokenRules(c.Name, role), Description: madeByUs},
		}); err != nil {
			return err
		}
	}
	return nil
}

// grantDNS gives those who have no token the right to look up services and nodes, or takes it.
func (e *Executor) grantDNS(ctx context.Context, s *observe.Snapshot, a plan.GrantDNS) (Outcome, error) {
	tokens, err := e.managementTokens(ctx, s.Cluster)
	if err != nil {
		return Outcome{}, err
	}
	policy := consul.Policy{Name: resources.PolicyDNS, Description: madeByUs}
	event := "DNS finds nothing for those who have no ACL token"
	if a.Granted {
		policy.Rules, event = resources.RulesDNS, "DNS finds services and nodes for those who have no ACL token"
	}
	if err := e.dialAs(s, s.Raft.Leader, tokens.Present).GrantAnonymous(ctx, policy); err != nil {
		return Outcome{}, err
	}
	return Outcome{Event: event}, e.patch(ctx, s.TokensSecret, func(o client.Object) {
		resources.SetDNSGranted(o.(*corev1.Secret), a.Granted)
	})
}

// rotateTokens takes a step of the rotation of the ACL tokens, if the Secret is as it was observed.
func (e *Executor) rotateTokens(ctx context.Context, s *observe.Snapshot, a plan.RotateTokens) (Outcome, error) {
	r, err := e.tokenRotationOf(ctx, s)
	if err != nil {
		return Outcome{}, err
	}
	switch a.Step {
	case plan.GenerateTokens:
		because := s.Spec.ACLs.Rotation.Replacement.Why(e.Now())
		return Outcome{Event: "the rotation of the ACL tokens begins: " + because}, r.generate(ctx)
	case plan.PromoteTokens:
		return Outcome{Event: fmt.Sprintf("there are new ACL tokens, and servers read them: read the management token again from the "+
			"Secret %s, the former one is revoked soon", resources.ManagementSecretName(s.Cluster.Name))}, r.promote(ctx)
	case plan.RevokeTokens:
		return Outcome{Event: "the former ACL tokens are revoked"}, r.revoke(ctx)
	case plan.ForgetTokens:
		return Outcome{Event: "the former management token is deleted"}, r.forget(ctx)
	}
	return Outcome{}, fmt.Errorf("%s is no step of a rotation", a.Step)
}

// tokenRotation is what a step of it needs.
type tokenRotation struct {
	*Executor
	seen   *observe.Snapshot
	secret *corev1.Secret
	tokens resources.ManagementTokens
}

// tokenRotationOf reads the tokens, which the cache leaves out.
func (e *Executor) tokenRotationOf(ctx context.Context, s *observe.Snapshot) (*tokenRotation, error) {
	secret, err := e.readAsSeen(ctx, s.TokensSecret)
	if err != nil {
		return nil, err
	}
	tokens, err := resources.ManagementTokensOf(secret)
	if err == nil && tokens.Present == "" {
		err = errTokensLost
	}
	if err != nil {
		return nil, damagedTokens(secret.Name, err)
	}
	return &tokenRotation{e, s, secret, tokens}, nil
}

// write changes the tokens in the Secret.
func (r *tokenRotation) write(ctx context.Context, tokens resources.ManagementTokens, besides ...func(*corev1.Secret)) error {
	return r.patch(ctx, r.secret, func(o client.Object) {
		secret := o.(*corev1.Secret)
		resources.SetTokens(secret, tokens)
		for _, change := range besides {
			change(secret)
		}
	})
}

// generate writes the next management token down before Consul knows it: it is the same one after a crash.
func (r *tokenRotation) generate(ctx context.Context) error {
	next, err := newTokens(r.seen)
	if err != nil {
		return err
	}
	tokens := r.tokens
	tokens.Next = next.Present
	return r.write(ctx, tokens, func(secret *corev1.Secret) {
		resources.SetRotatedFor(secret, r.seen.Cluster, v1alpha1.AnnotationRotateTokens)
	})
}

// promote has Consul know the next tokens before anybody has them.
func (r *tokenRotation) promote(ctx context.Context) error {
	if err := r.withAny(r.seen, r.seen.Raft.Leader, r.tokens, func(agent consul.Agent, _ string) error {
		return makeRoles(ctx, agent, r.seen.Cluster, r.tokens.Next, allRoles...)
	}); err != nil {
		return err
	}
	return r.write(ctx, r.tokens.Promoted(), func(secret *corev1.Secret) {
		resources.SetTokensMade(secret, r.Now())
		resources.SetTokensChanged(secret, r.Now())
	})
}

// revoke takes the rights of the former management tokens, and deletes those that follow from them.
func (r *tokenRotation) revoke(ctx context.Context) error {
	if err := r.loseFormer(ctx, consul.Agent.RevokeToken); err != nil {
		return err
	}
	return r.patch(ctx, r.secret, func(o client.Object) {
		resources.SetTokensRevoked(o.(*corev1.Secret), r.seen.Raft.Term)
	})
}

// forget deletes the former tokens, which nobody makes again.
func (r *tokenRotation) forget(ctx context.Context) error {
	if err := r.loseFormer(ctx, consul.Agent.DeleteToken); err != nil {
		return err
	}
	return r.write(ctx, resources.ManagementTokens{Present: r.tokens.Present})
}

// loseFormer does something to the former management tokens, and deletes those that follow from them. Before, it sees to it that
// Consul has the present ones.
func (r *tokenRotation) loseFormer(ctx context.Context, lose func(consul.Agent, context.Context, string) error) error {
	if err := r.makeWithAny(ctx, r.seen, r.seen.Raft.Leader, r.tokens); err != nil {
		return err
	}
	leader := r.dialAs(r.seen, r.seen.Raft.Leader, r.tokens.Present)
	for _, former := range r.tokens.Former {
		if err := lose(leader, ctx, former); err != nil {
			return err
		}
		for _, role := range derivedRoles {
			if err := leader.DeleteToken(ctx, resources.Token(former, role).Secret); err != nil {
				return err
			}
		}
	}
	return nil
}

// readTokens makes a server read its tokens, and looks whether it has the present ones.
func (e *Executor) readTokens(ctx context.Context, s *observe.Snapshot, a plan.ReadTokens) (Outcome, error) {
	self, err := e.readAgain(ctx, s, a.Server, "its ACL tokens")
	if err != nil {
		return Outcome{}, err
	}
	if self.UsesFormerToken {
		return Outcome{}, notWritten(a.Server, "its ACL tokens")
	}
	return Outcome{}, nil
}
