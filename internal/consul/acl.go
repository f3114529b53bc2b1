package consul

import (
	"context"
	"strings"

	"github.com/hashicorp/consul/api"
)

// Token is an ACL token that has a policy of its own.
type Token struct {
	// Accessor is its name, and Secret what proves that somebody has it: both are UUIDs.
	Accessor, Secret string
	// Policy is the name of its policy, and Rules are its rights
	// (https://developer.hashicorp.com/consul/docs/reference/acl/rule).
	Policy, Rules string
	// Description says what the token and its policy are for.
	Description string
}

// MakeToken is PUT /v1/acl/policy and PUT /v1/acl/token: what is there already, from a former attempt or from before somebody
// changed it, gets the same rights. It needs acl:write.
func (a *agent) MakeToken(ctx context.Context, t Token) error {
	if err := a.call(ctx, "ACL policy "+t.Policy, func(c *api.Client) error { return makePolicy(c, t) }); err != nil {
		return err
	}
	token := api.ACLToken{
		AccessorID: t.Accessor, SecretID: t.Secret, Description: t.Description,
		Policies: []*api.ACLTokenPolicyLink{{Name: t.Policy}},
	}
	err := a.call(ctx, "ACL token of "+t.Policy, func(c *api.Client) error {
		_, _, err := c.ACL().TokenCreate(&token, nil)
		if err != nil && strings.Contains(err.Error(), "already in use") {
			_, _, err = c.ACL().TokenUpdate(&token, nil)
		}
		return err
	})
	return conceal(err, t.Secret)
}

func makePolicy(c *api.Client, t Token) error {
	policy := api.ACLPolicy{Name: t.Policy, Description: t.Description, Rules: t.Rules}
	there, _, err := c.ACL().PolicyReadByName(t.Policy, nil)
	if err != nil {
		return err
	}
	if there == nil {
		_, _, err = c.ACL().PolicyCreate(&policy, nil)
		return err
	}
	if there.Rules == t.Rules {
		return nil
	}
	policy.ID = there.ID
	_, _, err = c.ACL().PolicyUpdate(&policy, nil)
	return err
}
