package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

const (
	ownID = "11111111-2222-4333-8444-555555555555"
	soon  = 500 * time.Millisecond
)

// trueAgent is an agent that says the truth, and takes down that it is asked to leave.
func trueAgent(t *testing.T, left chan<- struct{}) string {
	answers := map[string]string{
		"/v1/agent/self":                  `{"Config": {"NodeID": %q}, "Stats": {"raft": {"state": "Leader"}}}`,
		"/v1/operator/raft/configuration": `{"Servers": [{"ID": %q, "Node": "consul-0", "Voter": true}]}`,
		"/v1/agent/members":               `[{"Name": "consul-0", "Status": 1, "Tags": {"role": "consul", "id": %q}}]`,
		"/v1/catalog/service/consul":      `[{"ID": %q, "Node": "consul-0"}]`,
		"/v1/operator/autopilot/health":   `{"Servers": [{"ID": %q, "Healthy": true}]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/agent/leave" {
			left <- struct{}{}
			return
		}
		fmt.Fprintf(w, answers[r.URL.Path], ownID)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// heard is which calls an agent answered with something of this cluster.
func heard(t *testing.T, agent consul.Agent) []string {
	var calls []string
	add := func(call string, err error, ids ...string) {
		for _, id := range ids {
			if err == nil && id == ownID {
				calls = append(calls, call)
			}
		}
	}
	self, err := agent.Self(t.Context())
	add("self", err, self.NodeID)
	peers, err := agent.RaftPeers(t.Context())
	for _, peer := range peers {
		add("peers", err, peer.ID)
	}
	members, err := agent.Members(t.Context())
	for _, member := range members {
		add("members", err, member.ID)
	}
	catalog, err := agent.Catalog(t.Context())
	for _, node := range catalog {
		add("catalog", err, node.ID)
	}
	health, err := agent.Health(t.Context())
	if health[ownID] == plan.HealthHealthy {
		add("health", err, ownID)
	}
	return calls
}

func TestGarbage(t *testing.T) {
	for _, what := range garbages {
		t.Run(what.name, func(t *testing.T) {
			g := NewWithT(t)
			left := make(chan struct{}, 10)
			address, detours := trueAgent(t, left), t.TempDir()
			dial := withDetours(detours, consul.NewDialer(soon))
			everything := ConsistOf("self", "peers", "members", "catalog", "health")
			agent := func() consul.Agent { return dial(consul.Target{Address: address}) }
			g.Expect(heard(t, agent())).To(everything)

			end, err := impersonate(detours, address, newImpostor(address, load.Access{}, what, 10), nil)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(heard(t, agent())).To(BeEmpty())
			_ = agent().Leave(t.Context()) // some say that it is done
			if what.name == "half of each answer" {
				g.Expect(left).To(Receive())
			} else {
				g.Expect(left).NotTo(Receive())
			}
			g.Expect(end()).To(Succeed())

			g.Expect(heard(t, agent())).To(everything)
			g.Expect(os.ReadDir(detours)).To(BeEmpty())
		})
	}
}

func TestGarbageNowAndThen(t *testing.T) {
	g := NewWithT(t)
	address, detours := trueAgent(t, nil), t.TempDir()
	end, err := impersonate(detours, address, newImpostor(address, load.Access{}, garbages[0], 5), nil)
	g.Expect(err).NotTo(HaveOccurred())
	agent := withDetours(detours, consul.NewDialer(soon))(consul.Target{Address: address})
	ask := func() error {
		_, err := agent.Self(t.Context())
		return err
	}
	g.Eventually(ask).Should(Succeed())
	g.Eventually(ask).ShouldNot(Succeed())
	g.Expect(end()).To(Succeed())
}

// The operator takes a server that presents a new certificate for one that has read it.
func TestAnImpostorIsNotAheadOfItsAgent(t *testing.T) {
	g := NewWithT(t)
	former, next := pair(t), pair(t)
	agent := httptest.NewUnstartedServer(http.NotFoundHandler())
	agent.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{former}}
	agent.StartTLS()
	t.Cleanup(agent.Close)

	wanted := former
	impostor := httptest.NewUnstartedServer(http.NotFoundHandler())
	impostor.Listener = tls.NewListener(impostor.Listener, presenting(agent.Listener.Addr().String(),
		func(context.Context) (tls.Certificate, error) { return wanted, nil }))
	impostor.Start()
	t.Cleanup(impostor.Close)
	presented := func() ([]byte, error) { return certificateAt(t.Context(), impostor.Listener.Addr().String()) }

	g.Expect(presented()).To(Equal(former.Certificate[0]))
	wanted = next
	_, err := presented()
	g.Expect(err).To(HaveOccurred(), "its agent has not read it")
	agent.Close()
	g.Expect(presented()).To(Equal(former.Certificate[0]), "what its agent presented last")
}

// pair is a certificate of an authority of its own.
func pair(t *testing.T) tls.Certificate {
	t.Helper()
	g := NewWithT(t)
	authority, err := pki.NewAuthority("test", time.Now())
	g.Expect(err).NotTo(HaveOccurred())
	made, err := pki.Issue(authority, []string{"localhost"}, time.Now())
	g.Expect(err).NotTo(HaveOccurred())
	parsed, err := tls.X509KeyPair(made.Certificate, made.Key)
	g.Expect(err).NotTo(HaveOccurred())
	return parsed
}

// A fault of a kind that lasts comes again only when it is over.
func TestAFaultThatLasts(t *testing.T) {
	g := NewWithT(t)
	f := &faults{inEffect: map[lasting]bool{}, ending: make(chan struct{})}
	g.Expect(f.not(garbling)()).To(BeTrue())
	f.during(garbling, time.Hour, func() error { return nil })
	g.Expect(f.not(garbling)()).To(BeFalse())
	g.Expect(f.not(hanging)()).To(BeTrue())
	g.Expect(f.end()).To(Succeed())
	g.Expect(f.not(garbling)()).To(BeTrue())
}
