package resources_test

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/internal/resources"
)

// The client Service has the ports that the servers listen on, however the configuration sets them.
func TestClientServiceHasThePortsOfTheConfiguration(t *testing.T) {
	usual := []string{"http 8500/TCP", "dns 8600/TCP", "dns-udp 8600/UDP", "grpc-tls 8503/TCP"}
	for name, test := range map[string]struct {
		config map[string]any
		ports  []string
	}{
		"nothing said": {nil, usual},
		"opened": {map[string]any{"grpc": 8502, "https": 8501}, []string{
			"http 8500/TCP", "https 8501/TCP", "dns 8600/TCP", "dns-udp 8600/UDP", "grpc 8502/TCP", "grpc-tls 8503/TCP",
		}},
		"moved": {map[string]any{"dns": 53, "grpc_tls": 9503}, []string{
			"http 8500/TCP", "dns 53/TCP", "dns-udp 53/UDP", "grpc-tls 9503/TCP",
		}},
		"closed":             {map[string]any{"dns": -1, "grpc_tls": -1}, []string{"http 8500/TCP"}},
		"of no client":       {map[string]any{"serf_wan": 8302}, usual},
		"in another case":    {map[string]any{"GRPC_TLS": -1, "Dns": -1}, []string{"http 8500/TCP"}},
		"taken":              {map[string]any{"grpc": 8500}, usual},
		"no number":          {map[string]any{"grpc": "8502"}, usual},
		"no port":            {map[string]any{"grpc": 85020}, usual},
		"not a whole number": {map[string]any{"grpc": 0.5}, usual},
	} {
		t.Run(name, func(t *testing.T) {
			c := plain()
			if test.config != nil {
				c.Spec.Config = config(t, map[string]any{"ports": test.config})
			}
			var ports []string
			for _, p := range resources.ClientService(c).Spec.Ports {
				NewWithT(t).Expect(p.TargetPort.StrVal).To(Equal(p.Name), "each server is reached where it listens")
				ports = append(ports, fmt.Sprintf("%s %d/%s", p.Name, p.Port, p.Protocol))
			}
			NewWithT(t).Expect(ports).To(Equal(test.ports))
		})
	}
}
