package execute

import (
	"context"
	"errors"
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

// makeRoles makes the tokens of roles that follow from a management token.
func makeRoles(
	ctx context.Context, agent consul.Agent, c *v1alpha1.ConsulCluster, management string, roles ...resources.Role,
) error {
	for _, role := range roles {
		token := resources.Token(management, role)
		if role == resources.RoleManagement {
			token.Secret = management
		}
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
	case plan.ChooseTokens:
		return Outcome{Event: "the ACL tokens are rotated: " + s.Spec.ACLs.Rotation.Because}, r.choose(ctx)
	case plan.UseTokens:
		return Outcome{Event: "there are new ACL tokens: servers read them, without a restart"}, r.use(ctx)
	case plan.RevokeTokens:
		return Outcome{Event: "the ACL tokens are rotated: those of before have no rights any more"}, r.revoke(ctx)
	case plan.ForgetTokens:
		return Outcome{}, r.forget(ctx)
	}
	return Outcome{}, fmt.Errorf("%s is no step of a rotation", a.Step)
}

// tokenRotation is what a step of it needs.
type tokenRotation struct {
	*Executor
	seen   *observe.Snapshot
	secret *corev1.Secret
	tokens resources.ManagementTokens
	// leader is called with the present management token.
	leader consul.Agent
}

// tokenRotationOf reads the tokens, which the cache leaves out.
func (e *Executor) tokenRotationOf(ctx context.Context, s *observe.Snapshot) (*tokenRotation, error) {
	if s.TokensSecret == nil {
		return nil, fmt.Errorf("%w: the Secret with the ACL tokens was not there", ErrStale)
	}
	secret := &corev1.Secret{}
	if err := e.readLive(ctx, client.ObjectKeyFromObject(s.TokensSecret), secret); err != nil {
		return nil, err
	}
	tokens, err := resources.ManagementTokensOf(secret)
	if err != nil || tokens.Present == "" || secret.UID != s.TokensSecret.UID ||
		secret.ResourceVersion != s.TokensSecret.ResourceVersion {
		return nil, fmt.Errorf("%w: the Secret with the ACL tokens has changed", ErrStale)
	}
	return &tokenRotation{e, s, secret, tokens, e.dialAs(s, s.Raft.Leader, tokens.Present)}, nil
}

// write changes the tokens in the Secret.
func (r *tokenRotation) write(ctx context.Context, tokens resources.ManagementTokens, besides func(*corev1.Secret)) error {
	wanted := r.secret.DeepCopy()
	if err := resources.SetTokens(wanted, tokens); err != nil {
		return err
	}
	besides(wanted)
	return r.patch(ctx, r.secret, func(o client.Object) {
		o.SetAnnotations(wanted.Annotations)
		o.(*corev1.Secret).Data = wanted.Data
	})
}

// choose writes the next management token down before Consul knows it: it is the same one after a crash.
func (r *tokenRotation) choose(ctx context.Context) error {
	tokens := r.tokens
	tokens.Next = resources.NewManagementToken()
	return r.write(ctx, tokens, func(secret *corev1.Secret) { resources.SetTokensRotatedFor(secret, r.seen.Cluster) })
}

// use has Consul know the next tokens before anybody has them.
func (r *tokenRotation) use(ctx context.Context) error {
	err := makeRoles(ctx, r.leader, r.seen.Cluster, r.tokens.Next,
		resources.RoleManagement, resources.RoleServers, resources.RoleOperator)
	if err != nil {
		return err
	}
	return r.write(ctx, r.tokens.WithNextFirst(), func(secret *corev1.Secret) {
		resources.SetTokensMade(secret, r.Now())
		resources.SetTokensChanged(secret, r.Now())
	})
}

// revoke takes the rights of the management tokens of before, and deletes those that follow from them.
func (r *tokenRotation) revoke(ctx context.Context) error {
	for _, former := range r.tokens.Former {
		if err := r.leader.RevokeToken(ctx, former); err != nil {
			return err
		}
		for _, role := range []resources.Role{resources.RoleOperator, resources.RoleServers} {
			if err := r.leader.DeleteToken(ctx, resources.Token(former, role).Secret); err != nil {
				return err
			}
		}
	}
	return r.patch(ctx, r.secret, func(o client.Object) { resources.SetTokensRevoked(o.(*corev1.Secret), r.Now()) })
}

// forget deletes the management tokens of before, which nobody makes again.
func (r *tokenRotation) forget(ctx context.Context) error {
	for _, former := range r.tokens.Former {
		if err := r.leader.DeleteToken(ctx, former); err != nil {
			return err
		}
	}
	return r.write(ctx, resources.ManagementTokens{Present: r.tokens.Present}, func(*corev1.Secret) {})
}

// errTokensNotRead means that a server has read its tokens again before the kubelet wrote them.
var errTokensNotRead = errors.New("the kubelet has not written its ACL tokens yet")

// readTokens makes a server read its tokens, and looks whether it has the present ones.
func (e *Executor) readTokens(ctx context.Context, s *observe.Snapshot, a plan.ReadTokens) (Outcome, error) {
	agent := e.Dial(s.Target(a.Server))
	if err := agent.Reload(ctx); err != nil {
		return Outcome{}, fmt.Errorf("%s refuses to read its ACL tokens again, and goes on with those it has: %w", a.Server, err)
	}
	self, err := agent.Self(ctx)
	if err != nil {
		return Outcome{}, err
	}
	if self.FormerToken {
		return Outcome{}, fmt.Errorf("%s: %w", a.Server, errTokensNotRead)
	}
	return Outcome{}, nil
}
