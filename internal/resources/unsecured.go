package resources

import "github.com/consul-operator/consul-operator/api/v1alpha1"

// Unsecured returns what of a cluster is open to whom it should not be, in words that end with the field that changes it.
// What users configure themselves counts as well.
func Unsecured(c *v1alpha1.ConsulCluster, policed bool) (parts []string) {
	config, err := c.Spec.Config.Values()
	if err != nil {
		config = nil // the spec is invalid, and nothing of it holds
	}
	for _, part := range []struct {
		isOpen bool
		text   string
	}{
		{!policed, "every pod reaches the servers (spec.networkPolicy)"},
		{GossipPhase(c) != v1alpha1.GossipRequired && !isSet(config, "encrypt"), "gossip is not encrypted (spec.gossipEncryption)"},
		{!requiresTLS(c) && !verifiesIncoming(config), "RPC is neither encrypted nor authenticated (spec.tls)"},
		{!isHTTPSOnly(c), "the API is served without encryption (spec.tls.httpsOnly)"},
		{
			ACLPhase(c) != v1alpha1.ACLsDeny && !deniesByDefault(config),
			"whoever reaches the API may do everything (spec.acls)",
		},
	} {
		if part.isOpen {
			parts = append(parts, part.text)
		}
	}
	return parts
}

func isSet(config map[string]any, key string) bool {
	_, _, found := lookup(config, key)
	return found
}

// verifiesIncoming reports whether a user's configuration has servers take RPC only from those who have a certificate.
func verifiesIncoming(config map[string]any) bool {
	for _, key := range []string{
		"tls.internal_rpc.verify_incoming", "tls.defaults.verify_incoming", "verify_incoming", "verify_incoming_rpc",
	} {
		if _, said, _ := lookup(config, key); said == true {
			return true
		}
	}
	return false
}
