package observe

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// aclsOf is the phase of ACLs that a cluster has, and the one that it is to have in the end: where the spec says nothing, the
// same. See secureNewCluster.
func aclsOf(c *v1alpha1.ConsulCluster) plan.ACLs {
	phase, _ := plan.ParseACLPhase(string(resources.ACLPhase(c))) // the error is found again, see readRecords
	acls := plan.ACLs{Phase: phase, Target: phase, Unrecorded: resources.ACLRecordLost(c), DNS: c.Spec.ACLs.DNS}
	if enabled := c.Spec.ACLs.Enabled; enabled != nil {
		acls.Target = plan.ACLsOff
		if *enabled {
			acls.Target = max(phase, plan.ACLsAllow)
		}
	}
	if acls.Target == plan.ACLsOff {
		return acls
	}
	switch c.Spec.ACLs.DefaultPolicy {
	case v1alpha1.ACLDefaultAllow:
		acls.Target = plan.ACLsAllow
	case v1alpha1.ACLDefaultDeny:
		acls.Target = plan.ACLsDeny
	}
	return acls
}

// tokens reads how the agents of servers with ACLs are called.
func (o *Observer) tokens(ctx context.Context, s *Snapshot) error {
	if s.HasNoACLs() {
		return nil
	}
	secret, err := o.ownSecret(ctx, s, resources.TokensSecretName(s.Cluster.Name))
	if err != nil {
		return err
	}
	management, err := o.ownSecret(ctx, s, resources.ManagementSecretName(s.Cluster.Name))
	if err != nil {
		return err
	}
	s.TokensSecret = secret
	s.Spec.ACLs.Missing = !s.HasTokens()
	if secret != nil {
		s.Spec.ACLs.Made, s.Spec.ACLs.DNSGranted = resources.TokensMade(secret), resources.IsDNSGranted(secret)
		s.Spec.ACLs.Rotation = plan.TokenRotation{
			Stage: tokenStages[resources.TokenStageOf(secret)], Replacement: otherTokens(s, secret),
			ShownAt:   resources.KeysChanged(secret).Add(o.SecretDelay),
			RevokedIn: resources.TokensRevokedIn(secret),
			Uncopied:  management == nil || !resources.HaveSameTokens(management, secret),
		}
	}
	return nil
}

// otherTokens are the reasons for other ACL tokens than those in a Secret.
func otherTokens(s *Snapshot, secret *corev1.Secret) plan.Replacement {
	spec := s.Cluster.Spec.ACLs
	reasons := replacementOf(s.Cluster, secret, v1alpha1.AnnotationRotateTokens, spec.RotateEvery)
	if spec.ManagementTokenSecretRef != nil {
		reasons.FromSecret = spec.ManagementTokenSecretRef.Name
		reasons.Differs = s.UserSecrets.Tokens.Present != "" && !resources.AreTokensOf(secret, s.UserSecrets.Tokens)
	}
	return reasons
}

var tokenStages = map[resources.TokenStage]plan.TokenStage{
	resources.TokensSettled: plan.TokensSettled, resources.TokensComing: plan.TokensComing, resources.TokensGoing: plan.TokensGoing,
	resources.TokensRevoked: plan.TokensRevoked,
}

// HasTokens reports whether the Secret with the tokens is there, and has those of the operator.
func (s *Snapshot) HasTokens() bool {
	if s.TokensSecret == nil {
		return false
	}
	tokens := resources.OperatorTokensOf(s.TokensSecret)
	return tokens.Operator != "" && tokens.Recovery != ""
}

// withTokens adds the tokens to how the agent of a pod is called. Where nobody is denied anything, a token that was not made
// would be refused, and none is not. An agent knows its own token whatever Consul knows.
func (s *Snapshot) withTokens(target consul.Target, pod *corev1.Pod) consul.Target {
	if s.TokensSecret == nil || !resources.PodHasACLs(pod) {
		return target
	}
	tokens := resources.OperatorTokensOf(s.TokensSecret)
	target.AgentToken, target.FormerAgentToken = tokens.Recovery, tokens.FormerRecovery
	if s.Spec.ACLs.Made || aclsOfPod(pod) == plan.ACLsDeny {
		target.Token = tokens.Operator
	}
	return target
}

// aclsOfPod is the phase of a pod, whatever becomes of its annotation.
func aclsOfPod(pod *corev1.Pod) plan.ACLPhase {
	if !resources.PodHasACLs(pod) {
		return plan.ACLsOff
	}
	said, _ := plan.ParseACLPhase(pod.Annotations[v1alpha1.AnnotationACLs])
	return max(said, plan.ACLsAllow)
}

// errFiltered is an answer that lacks what it has to have.
var errFiltered = errors.New("it leaves itself out of its peers or members, as ACLs do that lack node:read")

// refusesToken reports whether a leader with ACLs refuses the token that it was called with, if any, or what it may do.
func (s *Snapshot) refusesToken(leader string, err error) bool {
	isRefused := errors.Is(err, consul.ErrForbidden) || errors.Is(err, errFiltered)
	return isRefused && resources.PodHasACLs(s.Pods[leader])
}
