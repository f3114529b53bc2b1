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
	TokensSettled TokenStage = iota // there are no former ones
	TokensComing                    // there is a management token that is to take the place of the present one
	TokensGoing                     // it did: Consul knows both, and servers use the former ones until they read the present ones
	TokensRevoked                   // the former ones have no rights, and servers that run were started with them
)

// TokenStep is a step of the rotation of the ACL tokens.
type TokenStep string

// The steps, in order.
const (
	GenerateTokens TokenStep = "Generate" // the Secret gets another management token beside the present one
	PromoteTokens  TokenStep = "Promote"  // Consul gets it, and what follows from it; then the operator and servers that start do
	RevokeTokens   TokenStep = "Revoke"   // the former tokens lose their rights
	ForgetTokens   TokenStep = "Forget"   // and are deleted: nobody would make them again
)

// TokenRotation is the rotation of the ACL tokens.
type TokenRotation struct {
	Stage TokenStage
	// Replacement are the reasons for others in their place.
	Replacement Replacement
	// Uncopied reports whether the Secret for people does not hold the same management tokens yet.
	Uncopied bool
	// ShownAt is when kubelets show the present ones to all pods.
	ShownAt time.Time
	// RevokedIn is the Raft term in which the former ones were revoked last.
	RevokedIn uint64
}

// begun reports whether a rotation is between its first step and the last that changes what callers use.
func (r TokenRotation) begun() bool { return r.Stage == TokensComing || r.Stage == TokensGoing }

// rotateTokens replaces all ACL tokens while servers run: Consul knows both, then all servers read the new ones, and only
// then are the former ones revoked. A server that becomes leader makes the management token that it was started with,
// unless it is there. So the former one is kept without rights, as long as a server runs that may have been started with
// it.
func rotateTokens(v view) *Decision {
	rotation := v.Spec.ACLs.Rotation
	if v.Spec.ACLs.Phase == ACLsOff || !v.Spec.ACLs.Made {
		return nil
	}
	switch {
	case rotation.Stage == TokensSettled && rotation.Replacement.Why(v.now) == "":
		return nil
	case rotation.Uncopied: // what was done last is to be lost with neither Secret, and people are to know their token
		return wait(often, reason.RotatingTokens, "the rotation of the ACL tokens goes on when both Secrets hold the same")
	case rotation.Stage == TokensComing:
		return v.rotateACLs(PromoteTokens, "new ACL tokens are made, and used from now on")
	case rotation.Stage == TokensSettled:
		return v.generateTokens()
	}
	return cmp.Or(v.readTokens(), v.loseFormerTokens())
}

// loseFormerTokens comes when all servers have read the new ones. A leader may have made the former management token again, after
// somebody had deleted it, or in a cluster that has an older log: so under each leader it is revoked once more.
func (v view) loseFormerTokens() *Decision {
	rotation := v.Spec.ACLs.Rotation
	switch {
	case rotation.Stage == TokensGoing || rotation.RevokedIn != v.Raft.Term:
		return v.rotateACLs(RevokeTokens, "all %d servers have read the new ACL tokens: the former ones are revoked", len(v.Servers))
	case rotation.Replacement.Why(v.now) != "":
		return v.generateTokens()
	case !v.mayMakeFormerToken():
		return v.rotateACLs(ForgetTokens, "no server that runs was started with the former management token: it is deleted")
	}
	return nil
}

func (v view) generateTokens() *Decision {
	return v.rotateACLs(GenerateTokens, "the ACL tokens are replaced: %s", v.Spec.ACLs.Rotation.Replacement.Why(v.now))
}

// readTokens has servers read the new tokens, one after the other, the leader last, when kubelets show them to all pods.
func (v view) readTokens() *Decision {
	if shownAt := v.Spec.ACLs.Rotation.ShownAt; v.now.Before(shownAt) {
		return wait(min(shownAt.Sub(v.now), forPeople), reason.RotatingTokens,
			"servers read the new ACL tokens at %s, when kubelets show them to all pods", clock(shownAt))
	}
	pending := filter(v.Servers, func(s Server) bool { return !s.Agent.Answered || s.Agent.UsesFormerToken })
	if len(pending) == 0 {
		return nil
	}
	slices.SortStableFunc(pending, func(a, b Server) int { return compareBool(v.leads(a), v.leads(b)) })
	next := pending[0]
	if !next.Agent.Answered {
		return wait(often, reason.RotatingTokens, "the rotation of the ACL tokens goes on when %s answers", next.Name)
	}
	return step(ReadTokens{Server: next.Name}, reason.RotatingTokens,
		"%d of %d servers have read the new ACL tokens, without a restart; next is %s",
		len(v.Servers)-len(pending), len(v.Servers), next.Name)
}

// mayMakeFormerToken reports whether a server may have been started with the former management token. Of one without a pod
// it is not known whether the pod has stopped.
func (v view) mayMakeFormerToken() bool {
	return slices.ContainsFunc(v.Servers, func(s Server) bool {
		return s.Pod == nil || !s.Pod.Created.After(v.Spec.ACLs.Rotation.ShownAt)
	})
}

func (v view) rotateACLs(next TokenStep, format string, args ...any) *Decision {
	return step(RotateTokens{Step: next}, reason.RotatingTokens, format, args...)
}
