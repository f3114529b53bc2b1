package consul

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

// Policy is what those who have it may do.
type Policy struct {
	Name string
	// Rules are its rights (https://developer.hashicorp.com/consul/docs/reference/acl/rule).
	Rules       string
	Description string
}

// Token is an ACL token with one policy.
type Token struct {
	// Accessor is its name, and Secret what proves that somebody has it: both are UUIDs.
	Accessor, Secret string
	// Policy is made as well, unless it has no rules: then it is there already.
	Policy      Policy
	Description string
}

// MakeToken is PUT /v1/acl/policy and PUT /v1/acl/token: what is there already, from a former attempt or from before somebody
// changed it, gets the same rights. It needs acl:write.
func (a *agent) MakeToken(ctx context.Context, t Token) error {
	if t.Policy.Rules != "" {
		if err := a.makePolicy(ctx, t.Policy); err != nil {
			return err
		}
	}
	token := api.ACLToken{
		AccessorID: t.Accessor, SecretID: t.Secret, Description: t.Description,
		Policies: []*api.ACLTokenPolicyLink{{Name: t.Policy.Name}},
	}
	name := "ACL token of " + t.Policy.Name
	err := a.call(ctx, name, func(c *api.Client) error { _, _, err := c.ACL().TokenCreate(&token, nil); return err })
	if err == nil || !strings.Contains(err.Error(), "already in use") {
		return conceal(err, t.Secret)
	}
	as := *a
	as.target.Token = t.Secret
	if token.AccessorID, err = as.ownToken(ctx); err != nil { // somebody else may have made it, by another name
		return err
	}
	err = a.call(ctx, name, func(c *api.Client) error { _, _, err := c.ACL().TokenUpdate(&token, nil); return err })
	return conceal(err, t.Secret)
}

// anonymous is the accessor of the token of those who have none
// (https://developer.hashicorp.com/consul/docs/secure/acl/token#anonymous-token).
const anonymous = "00000000-0000-0000-0000-000000000002"

// GrantAnonymous is PUT /v1/acl/policy and PUT /v1/acl/token of the anonymous token, whose other policies stay.
func (a *agent) GrantAnonymous(ctx context.Context, p Policy) error {
	if err := a.makePolicy(ctx, p); err != nil {
		return err
	}
	return a.call(ctx, "ACL token anonymous", func(c *api.Client) error {
		token, _, err := c.ACL().TokenRead(anonymous, nil)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(token.Policies, func(link *api.ACLTokenPolicyLink) bool { return link.Name == p.Name }) {
			return nil
		}
		token.Policies = append(token.Policies, &api.ACLTokenPolicyLink{Name: p.Name})
		_, _, err = c.ACL().TokenUpdate(token, nil)
		return err
	})
}

func (a *agent) makePolicy(ctx context.Context, p Policy) error {
	return a.call(ctx, "ACL policy "+p.Name, func(c *api.Client) error {
		policy := api.ACLPolicy{Name: p.Name, Description: p.Description, Rules: p.Rules}
		there, _, err := c.ACL().PolicyReadByName(p.Name, nil)
		switch {
		case err != nil:
			return err
		case there == nil:
			_, _, err = c.ACL().PolicyCreate(&policy, nil)
			return err
		case there.Rules == p.Rules:
			return nil
		}
		policy.ID = there.ID
		_, _, err = c.ACL().PolicyUpdate(&policy, nil)
		return err
	})
}

// revoked is for whoever sees a token in Consul that may do nothing.
const revoked = "revoked by consul-operator, which deletes it later. Do not delete it: a server that was started with it would " +
	"make it again, with all rights"

// RevokeToken is PUT /v1/acl/token/:accessor without policies.
func (a *agent) RevokeToken(ctx context.Context, secret string) error {
	return a.changeToken(ctx, secret, func(c *api.Client, accessor string) error {
		_, _, err := c.ACL().TokenUpdate(&api.ACLToken{AccessorID: accessor, Description: revoked}, nil)
		return err
	})
}

// DeleteToken is DELETE /v1/acl/token/:accessor.
func (a *agent) DeleteToken(ctx context.Context, secret string) error {
	return a.changeToken(ctx, secret, func(c *api.Client, accessor string) error {
		_, err := c.ACL().TokenDelete(accessor, nil)
		return err
	})
}

// changeToken looks up the accessor of a token, and changes the token. A leader that was just started, and has not applied
// its log, knows no token at all. So one that is not known is looked up again once the caller's own is known.
func (a *agent) changeToken(ctx context.Context, secret string, change func(c *api.Client, accessor string) error) error {
	other := *a
	other.target.Token = secret
	accessor, err := other.ownToken(ctx)
	if errors.Is(err, ErrForbidden) {
		if _, err := a.ownToken(ctx); err != nil {
			return err
		}
		if accessor, err = other.ownToken(ctx); errors.Is(err, ErrForbidden) {
			return nil
		}
	}
	if err != nil {
		return err
	}
	return a.call(ctx, "ACL token "+accessor, func(c *api.Client) error { return change(c, accessor) })
}

// ownToken is GET /v1/acl/token/self: the name of the token that the agent is called with.
func (a *agent) ownToken(ctx context.Context) (accessor string, err error) {
	err = a.call(ctx, "own ACL token", func(c *api.Client) error {
		token, _, err := c.ACL().TokenReadSelf(nil)
		if err == nil {
			accessor = token.AccessorID
		}
		return err
	})
	return accessor, err
}
