package plan

import "github.com/consul-operator/consul-operator/api/reason"

// awaitTokens stops everything below while the leader refuses the operator's token: there is a leader, and nothing is known of
// the cluster.
func awaitTokens(v view) *Decision {
	leader := v.Spec.ACLs.RefusedBy
	if leader == "" {
		return nil
	}
	return wait(often, reason.MakingTokens, "%s leads, and refuses the operator's ACL token: it is being made", leader)
}
