package resources

import (
	"encoding/json"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// clientPorts returns the ports for clients: Consul's default ports, unless the configuration moves or closes them, and the
// ports that the configuration opens
// (https://developer.hashicorp.com/consul/docs/reference/agent/configuration-file/general#ports-parameters).
func clientPorts(c *v1alpha1.ConsulCluster) []corev1.ServicePort {
	config, err := c.Spec.Config.Values()
	if err != nil {
		config = nil // admission rejects it, and AgentConfig reports it
	}
	var ports []corev1.ServicePort
	for _, p := range []struct {
		name, key string
		protocol  corev1.Protocol
		usual     int32 // zero if the port is closed by default
	}{
		{"http", "http", corev1.ProtocolTCP, usualHTTP(c)},
		{"https", "https", corev1.ProtocolTCP, usualHTTPS(c)},
		{"dns", "dns", corev1.ProtocolTCP, PortDNS},
		{"dns-udp", "dns", corev1.ProtocolUDP, PortDNS},
		{"grpc", "grpc", corev1.ProtocolTCP, 0},
		{"grpc-tls", "grpc_tls", corev1.ProtocolTCP, PortGRPCTLS},
	} {
		number := p.usual
		_, said, _ := lookup(config, "ports."+p.key)
		if wanted, isNumber := said.(json.Number); isNumber {
			number = portNumber(wanted)
		}
		// Consul itself rejects a number that is used twice; the Service omits the second one.
		taken := slices.ContainsFunc(ports, func(other corev1.ServicePort) bool {
			return other.Port == number && other.Protocol == p.protocol
		})
		if number != 0 && !taken {
			// By name: a server that has not got a changed configuration yet is reached where it listens.
			ports = append(ports, corev1.ServicePort{
				Name: p.name, Protocol: p.protocol, Port: number, TargetPort: intstr.FromString(p.name),
			})
		}
	}
	return ports
}

// usualHTTP is zero if servers serve HTTP to nobody but themselves.
func usualHTTP(c *v1alpha1.ConsulCluster) int32 {
	if isHTTPSOnly(c) {
		return 0
	}
	return PortHTTP
}

// setsHTTPS reports whether users say themselves where HTTPS is.
func setsHTTPS(c *v1alpha1.ConsulCluster) bool {
	config, err := c.Spec.Config.Values()
	return err == nil && isSet(config, "ports.https")
}

// usualHTTPS is not zero in phase Off: servers of the phase before it serve HTTPS until they are replaced.
func usualHTTPS(c *v1alpha1.ConsulCluster) int32 {
	if TLSPhase(c) != "" {
		return PortHTTPS
	}
	return 0
}

// apiPorts are those at which the operator asks servers: of a cluster that gets TLS, or loses it, some have one and some
// the other.
func apiPorts(c *v1alpha1.ConsulCluster) []corev1.ServicePort {
	ports := []corev1.ServicePort{port("http", corev1.ProtocolTCP, PortHTTP)}
	if TLSPhase(c) != "" {
		ports = append(ports, port("https", corev1.ProtocolTCP, PortHTTPS))
	}
	return ports
}

// portNumber returns zero for anything that is not a port number: -1 closes a port of Consul.
func portNumber(said json.Number) int32 {
	number, err := said.Int64()
	if err != nil || number < 0 || number > math.MaxUint16 {
		return 0
	}
	return int32(number)
}

// serverPorts returns the ports that servers have among themselves, and for client agents.
func serverPorts() []corev1.ServicePort {
	return []corev1.ServicePort{
		port("server", corev1.ProtocolTCP, PortServer),
		port("serf-lan", corev1.ProtocolTCP, PortSerfLAN),
		port("serf-lan-udp", corev1.ProtocolUDP, PortSerfLAN),
	}
}

// containerPorts returns all ports of a server.
func containerPorts(c *v1alpha1.ConsulCluster) []corev1.ContainerPort {
	var ports []corev1.ContainerPort
	for _, p := range append(serverPorts(), clientPorts(c)...) {
		if p.Name == "https" && p.Port == usualHTTPS(c) && TLSPhase(c) == v1alpha1.TLSOff && !setsHTTPS(c) {
			continue // it is for servers of the phase before
		}
		ports = append(ports, corev1.ContainerPort{Name: p.Name, ContainerPort: p.Port, Protocol: p.Protocol})
	}
	return ports
}

func port(name string, protocol corev1.Protocol, number int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Protocol: protocol, Port: number, TargetPort: intstr.FromInt32(number)}
}
