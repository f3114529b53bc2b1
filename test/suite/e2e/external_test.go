package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/hashicorp/consul-server-connection-manager/discovery"
	"github.com/hashicorp/consul/proto-public/pbdataplane"
	"github.com/hashicorp/go-hclog"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/pki"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

var _ = Describe("consul-k8s with external servers", Ordered, ContinueOnFailure, func() {
	installed()

	It("keeps its gRPC connection by TLS through an upgrade", func() {
		c := create("external", surge3)
		service, authorities := &corev1.Service{}, &corev1.Secret{}
		Expect(env.Client.Get(GinkgoT().Context(), c.Key, service)).To(Succeed())
		Expect(env.Client.Get(GinkgoT().Context(), client.ObjectKey{
			Namespace: c.Key.Namespace, Name: resources.AuthoritiesSecretName(c.Key.Name),
		}, authorities)).To(Succeed())
		f := follow(discovery.Config{
			Addresses: service.Spec.ClusterIP, GRPCPort: resources.PortGRPCTLS,
			TLS: &tls.Config{
				MinVersion: tls.VersionTLS12, ServerName: "server.dc1.consul", RootCAs: pki.Roots(authorities.Data[corev1.TLSCertKey]),
			},
			Credentials: discovery.Credentials{
				Type: discovery.CredentialsTypeStatic, Static: discovery.StaticTokenCredential{Token: c.managementToken()},
			},
		})

		c.watch(load.Options{Rate: 200})
		c.patch(toNewest)
		c.ready(5 * time.Minute)
		Expect(c.end().HandedOver(1)).To(Succeed(), invariant.I3.String())

		calls := f.end()
		AddReportEntry("gRPC", fmt.Sprintf("%d of %d calls failed, for %s at most", calls.failed, calls.all, calls.longest))
		var pods corev1.PodList
		Expect(env.Client.List(GinkgoT().Context(), &pods, client.InNamespace(c.Key.Namespace),
			client.MatchingLabels{v1alpha1.LabelCluster: c.Key.Name})).To(Succeed())
		var addresses []any
		for _, pod := range pods.Items {
			addresses = append(addresses, pod.Status.PodIP)
		}
		Expect(calls.address).To(BeElementOf(append(addresses, service.Spec.ClusterIP)...), "it goes to a server of now")
		if c.Undisturbed() {
			Expect(calls.longest).To(BeNumerically("<", 5*time.Second))
		}
	})
})

// follower calls servers through the library by which the controllers and sidecars of consul-k8s find and follow them.
type follower struct {
	watcher *discovery.Watcher
	stop    context.CancelFunc
	done    chan calls
}

// calls are what became of calls that were made one after another.
type calls struct {
	all, failed int
	longest     time.Duration // without one that succeeded
	address     string        // of the last server
}

func follow(config discovery.Config) *follower {
	GinkgoHelper()
	ctx, stop := context.WithCancel(GinkgoT().Context())
	watcher, err := discovery.NewWatcher(ctx, config, hclog.NewNullLogger())
	Expect(err).NotTo(HaveOccurred())
	f := &follower{watcher: watcher, stop: stop, done: make(chan calls, 1)}
	go watcher.Run()
	DeferCleanup(func() { stop(); watcher.Stop() })
	state, err := watcher.State() // waits for the first connection
	Expect(err).NotTo(HaveOccurred())
	go func() { f.done <- f.call(ctx, pbdataplane.NewDataplaneServiceClient(state.GRPCConn)) }()
	return f
}

// call asks the server that is connected, until the context ends.
func (f *follower) call(ctx context.Context, servers pbdataplane.DataplaneServiceClient) calls {
	var seen calls
	last := time.Now()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			seen.longest = max(seen.longest, time.Since(last))
			return seen
		case <-ticker.C:
		}
		calling, cancel := context.WithTimeout(ctx, time.Second)
		_, err := servers.GetSupportedDataplaneFeatures(calling, &pbdataplane.GetSupportedDataplaneFeaturesRequest{})
		cancel()
		if ctx.Err() != nil {
			seen.longest = max(seen.longest, time.Since(last))
			return seen
		}
		seen.all++
		if err != nil {
			seen.failed++
			continue
		}
		seen.longest, last = max(seen.longest, time.Since(last)), time.Now()
	}
}

// end stops the calls. The server that was called last is the one that the library is connected to.
func (f *follower) end() calls {
	GinkgoHelper()
	address := ""
	Eventually(func(g Gomega) { // it has none while it goes from one server to another
		state, err := f.watcher.State()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(state.Address.IP).NotTo(BeNil())
		address = state.Address.IP.String()
	}, "5s", "50ms").Should(Succeed())
	f.stop()
	seen := <-f.done
	seen.address = address
	return seen
}
