package plugin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/consul-operator/consul-operator/internal/resources"
)

// anyPort has the system choose a port of this machine.
const anyPort = 0

// tunnel is a port of this machine that leads to Consul's API in a pod, through the API server, until its context ends. It comes
// out at 127.0.0.1 of the pod, where servers serve HTTP in every phase of TLS, and on the way it is encrypted.
type tunnel struct {
	port int
	// lost gets one error, or nil, when it has ended.
	lost <-chan error
}

// dig opens a tunnel at a port of this machine.
func (s *session) dig(ctx context.Context, pod string, port int) (tunnel, error) {
	dialer, err := s.portDialer(pod)
	if err != nil {
		return tunnel{}, err
	}
	ready, lost := make(chan struct{}), make(chan error, 1)
	// What goes wrong with a connection is told to whoever has it; the library would write it to the terminal as well.
	quiet := klog.NewContext(ctx, logr.Discard())
	ports := []string{fmt.Sprintf("%d:%d", port, resources.PortHTTP)}
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(
		quiet, dialer, []string{"localhost"}, ports, ready, io.Discard, io.Discard)
	if err != nil {
		return tunnel{}, err
	}
	go func() { lost <- forwarder.ForwardPorts() }()
	select {
	case err := <-lost:
		return tunnel{}, err
	case <-ctx.Done():
		return tunnel{}, ctx.Err()
	case <-ready:
	}
	open, err := forwarder.GetPorts()
	if err != nil {
		return tunnel{}, err
	}
	return tunnel{port: int(open[0].Local), lost: lost}, nil
}

// portDialer connects to the ports of a pod: by WebSocket, or else by SPDY.
func (s *session) portDialer(pod string) (httpstream.Dialer, error) {
	core, err := s.core()
	if err != nil {
		return nil, err
	}
	at := core.Post().Namespace(s.key.Namespace).Resource("pods").Name(pod).SubResource("portforward").URL()
	first, err := portforward.NewSPDYOverWebsocketDialerForStreaming(at, s.config)
	if err != nil {
		return nil, err
	}
	transport, upgrader, err := spdy.RoundTripperFor(s.config)
	if err != nil {
		return nil, err
	}
	second := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, at)
	return portforward.NewFallbackDialerForStreaming(first, second, isNoWebSocket), nil
}

// url is the address of something at the end of the tunnel.
func (t tunnel) url(path string) string { return "http://localhost:" + strconv.Itoa(t.port) + path }
