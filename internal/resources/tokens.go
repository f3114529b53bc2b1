package resources

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"github.com/google/uuid"
)

// Role is who uses an ACL token.
type Role string

// The roles that have a token.
const (
	RoleOperator Role = "operator"
	RoleServers  Role = "servers"
	// RoleMetrics is Prometheus.
	RoleMetrics Role = "metrics"
	// RoleManagement may do everything. All other tokens follow from its.
	RoleManagement Role = "management"
	// RoleRecovery is the operator's at one agent. Its token is no token of Consul's: agents alone know it.
	RoleRecovery Role = "agent-recovery"
)

// Policy is the name of the ACL policy of a role.
func (r Role) Policy() string {
	switch r {
	case RoleManagement:
		return "global-management"
	case RoleServers:
		return "consul-operator-servers"
	case RoleMetrics:
		return "consul-operator-metrics"
	}
	return "consul-operator"
}

// ACLToken is a token as Consul names it: both are UUIDs.
type ACLToken struct {
	// Accessor is the name of the token, and Secret what proves that somebody has it.
	Accessor, Secret string
}

// NewManagementToken returns the secret of a management token.
func NewManagementToken() string { return uuid.NewString() }

// Token returns the token of a role. It follows from the management token, so whoever has that can make it again, with
// the same name and the same secret, and nobody can find that one from it.
func Token(management string, role Role) ACLToken {
	derive := func(part string) string {
		mac := hmac.New(sha256.New, []byte(management))
		return uuid.NewHash(mac, uuid.Nil, []byte("consul-operator/"+string(role)+"/"+part), 8).String()
	}
	token := ACLToken{Accessor: derive("accessor"), Secret: derive("secret")}
	if role == RoleManagement {
		token.Secret = management
	}
	return token
}

// TokenRules are the rights of the token of a role, in Consul's language
// (https://developer.hashicorp.com/consul/docs/reference/acl/rule). The operator reads members and the catalog, takes nodes out
// of it that have the names of its servers, hands leadership over, removes peers and changes autopilot, has agents leave and
// reload, and replaces the gossip key. The policy of the management token is Consul's own.
func TokenRules(cluster string, role Role) string {
	switch role {
	case RoleManagement:
		return ""
	case RoleServers:
		return fmt.Sprintf("node_prefix %q {\n  policy = \"write\"\n}\n", cluster+"-")
	case RoleMetrics:
		return fmt.Sprintf("agent_prefix %q {\n  policy = \"read\"\n}\n", cluster+"-")
	}
	return fmt.Sprintf("node_prefix %q {\n  policy = \"write\"\n}\n", cluster+"-") + `operator = "write"
keyring = "write"
agent_prefix "" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}
service "consul" {
  policy = "read"
}
`
}

// PolicyDNS is the name of the policy by which those who have no token look up services and nodes, and RulesDNS are its rights.
const (
	PolicyDNS = "consul-operator-dns"
	RulesDNS  = `node_prefix "" {
  policy = "read"
}
service_prefix "" {
  policy = "read"
}
`
)
