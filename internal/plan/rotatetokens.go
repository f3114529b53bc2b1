package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
)

// TokenStage is how far the rotation of the ACL tokens is. The Secret of the tokens says so.
type TokenStage int

// The stages, in order.
const (
	TokensSettled TokenStage = iota // there are no others
	TokensComing                    // there is a management token that is to take the place of the present one
	TokensGoing                     // it did: Consul knows both, and servers that have not read the new ones use those of before
	TokensRevoked                   // those of before have no rights, and servers may have been started with them
)

// TokenStep is a step of the rotation of the ACL tokens.
type TokenStep string

// The steps, in order.
const (
	ChooseTokens TokenStep = "Choose" // the Secret gets another management token beside the present one
	UseTokens    TokenStep = "Use"    // Consul gets it, and those that follow from it; servers that start do, and the operator
	RevokeTokens TokenStep = "Revoke" // the tokens of before lose their rights
	ForgetTokens TokenStep = "Forget" // and are deleted: nobody would make them again
)

// TokenRotation is the rotation of the ACL tokens.
type TokenRotation struct {
	Stage TokenStage
	// Because says why others are to take their place; empty if they are not.
	Because string
	// ShownAt is when kubelets show the present ones to all pods.
	ShownAt time.Time
}

// rotateTokens replaces all ACL tokens while servers run: Consul knows both, then all servers read the new ones, and only then
// those of before lose their rights. A server reads its management token when it starts, and makes it again when it leads, unless
// it is there: so that one is kept without rights as long as a server runs that may have been started with it.
func rotateTokens(v view) *Decision {
	rotation := v.Spec.ACLs.Rotation
	if v.Spec.ACLs.Phase == ACLsOff || !v.Spec.ACLs.Made {
		return nil
	}
	switch rotation.Stage {
	case TokensSettled, TokensRevoked:
	case TokensComing:
		return v.rotateACLs(UseTokens, "the new ACL tokens are made, and used from now on")
	case TokensGoing:
		return cmp.Or(v.readTokens(),
			v.rotateACLs(RevokeTokens, "all %d servers have read the new ACL tokens: those of before lose their rights", len(v.Servers)))
	}
	switch {
	case rotation.Because != "":
		return v.rotateACLs(ChooseTokens, "the ACL tokens are replaced: %s", rotation.Because)
	case rotation.Stage == TokensRevoked && !v.mayKnowFormerTokens():
		return v.rotateACLs(ForgetTokens, "no server was started with the ACL tokens of before: they are deleted")
	}
	return nil
}

// readTokens has servers read the new tokens, one after the other, the leader last, when kubelets show them to all pods.
func (v view) readTokens() *Decision {
	if shownAt := v.Spec.ACLs.Rotation.ShownAt; v.now.Before(shownAt) {
		return wait(min(shownAt.Sub(v.now), forPeople), reason.RotatingTokens,
			"servers read the new ACL tokens at %s, when kubelets show them to all pods", clock(shownAt))
	}
	servers := slices.SortedStableFunc(slices.Values(v.Servers), func(a, b Server) int {
		return compareBool(v.leads(a), v.leads(b))
	})
	for i, s := range servers {
		switch {
		case !s.Agent.Answered:
			return wait(often, reason.RotatingTokens, "the rotation of the ACL tokens goes on when %s answers", s.Name)
		case s.Agent.FormerTokens:
			return step(ReadTokens{Server: s.Name}, reason.RotatingTokens,
				"%d of %d servers have read the new ACL tokens, without a restart; next is %s", i, len(servers), s.Name)
		}
	}
	return nil
}

// mayKnowFormerTokens reports whether a server may have been started with the tokens of before.
func (v view) mayKnowFormerTokens() bool {
	return slices.ContainsFunc(v.Servers, func(s Server) bool {
		return s.Pod == nil || !s.Pod.Created.After(v.Spec.ACLs.Rotation.ShownAt)
	})
}

func (v view) rotateACLs(next TokenStep, format string, args ...any) *Decision {
	return step(RotateTokens{Step: next}, reason.RotatingTokens, format, args...)
}
