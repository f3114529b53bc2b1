package resources

import (
	"fmt"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// Access says how people and clients reach a cluster and log in. Its servers prove that they are serverName.
func Access(c *v1alpha1.ConsulCluster, serverName string) *v1alpha1.Access {
	access := &v1alpha1.Access{
		PortForward: fmt.Sprintf("kubectl -n %s port-forward service/%s %d", c.Namespace, JoinServiceName(c.Name), PortHTTP),
		UI:          fmt.Sprintf("http://localhost:%d/ui", PortHTTP),
	}
	for _, p := range clientPorts(c) {
		isHTTPS := p.Name == "https" && (HasTLS(c) || setsHTTPS(c))
		if isHTTPS || p.Name == "http" { // HTTPS follows HTTP
			access.Address = fmt.Sprintf("%s://%s.%s.svc:%d", p.Name, ClientServiceName(c.Name), c.Namespace, p.Port)
		}
	}
	if HasTLS(c) {
		access.ServerName, access.AuthoritiesSecret = serverName, AuthoritiesSecretName(c.Name)
	}
	if HasACLs(c) {
		access.Token = fmt.Sprintf("kubectl -n %s get secret %s -o jsonpath='{.data.%s}' | base64 -d",
			c.Namespace, ManagementSecretName(c.Name), keyManagement)
	}
	return access
}
