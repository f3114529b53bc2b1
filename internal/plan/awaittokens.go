package plan

import "github.com/consul-operator/consul-operator/api/reason"

// awaitTokens stops everything below while the leader refuses the operator's token, or the operator has none: there may be a
// leader, and nothing is known of the cluster.
func awaitTokens(v view) *Decision {
	switch acls := v.Spec.ACLs; {
	case acls.Missing:
		return wait(often, reason.MakingTokens, "the Secret with the ACL tokens is missing, and is being written again")
	case acls.RefusedBy != "":
		return wait(often, reason.MakingTokens, "%s leads, and refuses the operator's ACL token: it is being made", acls.RefusedBy)
	}
	return nil
}
