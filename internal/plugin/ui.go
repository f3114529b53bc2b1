package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// tryAgainAfter is how long to wait before another server is looked for.
const tryAgainAfter = time.Second

func (s *session) uiCommand() *cobra.Command {
	port, showToken := 0, false
	cmd := &cobra.Command{
		Use: "ui [CLUSTER]", Args: clusterArgs, Short: "Reach the UI and the API from this machine",
		Long: `Reach the UI and the API from this machine, through the API server, until Ctrl-C. When a server goes away, such as in an
upgrade, it goes on by way of another one.`,
		Example: `  kubectl consul ui
  kubectl consul ui consul --port 9500`,
		RunE: func(cmd *cobra.Command, args []string) error { return s.ui(cmd.Context(), args, port, showToken) },
	}
	cmd.Flags().IntVar(&port, "port", resources.PortHTTP, "the port of this machine; 0 for any")
	cmd.Flags().BoolVar(&showToken, "show-token", false, "print the management token as well")
	return cmd
}

func (s *session) ui(ctx context.Context, args []string, port int, showToken bool) error {
	if err := s.on(ctx, args); err != nil {
		return err
	}
	c, err := s.cluster(ctx)
	if err != nil {
		return err
	}
	token := ""
	if showToken {
		if token, err = s.managementToken(ctx, c); err != nil {
			return err
		}
	}
	if err := isFree(port); err != nil {
		return err
	}
	greeted := false
	err = s.stayConnected(ctx, port, func(t tunnel) {
		if !greeted {
			fmt.Fprint(s.Out, greeting(c, t.url("/ui"), token))
		}
		greeted = true
	})
	if ctx.Err() != nil {
		return &codedError{code: exitInterrupted}
	}
	return err
}

// isFree says what to do if somebody else listens at a port of this machine.
func isFree(port int) error {
	listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("port %d of this machine cannot be used (%w): --port takes another one", port, err)
	}
	return listener.Close()
}

// greeting says where the UI is, and how to log in. The token is empty unless a person has asked for it.
func greeting(c *v1alpha1.ConsulCluster, address, token string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "The UI of %s is at %s until Ctrl-C.\n", c.Name, address)
	switch {
	case !hasACLs(c):
		b.WriteString("Nobody has to log in: ACLs are off.\n")
	case token != "":
		fmt.Fprintf(&b, "To log in, use the management token: %s\n", token)
	default:
		fmt.Fprintf(&b, "To log in, use the token that this prints:\n  kubectl consul token %s -n %s\n", c.Name, c.Namespace)
	}
	return b.String()
}

// stayConnected keeps a tunnel open, to whichever server is there, until ctx ends. It fails if the first one cannot be opened.
func (s *session) stayConnected(ctx context.Context, port int, opened func(tunnel)) error {
	connected, said := false, ""
	say := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != said {
			said = text
			fmt.Fprintln(s.ErrOut, text)
		}
	}
	for ctx.Err() == nil {
		pod, err := s.podOf(ctx, "")
		if err == nil {
			err = s.connected(ctx, pod, port, func(t tunnel) {
				port, connected = t.port, true // the next one is at the same address
				opened(t)
				say("Connected to %s.", pod.Name)
			})
		}
		switch {
		case ctx.Err() != nil:
		case err == nil:
			say("%s goes away.", pod.Name)
		case !connected:
			return err
		default:
			say("The connection is lost (%v); trying again.", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(tryAgainAfter):
		}
	}
	return ctx.Err()
}

// connected keeps a tunnel to a pod open until it breaks, or the pod is about to go.
func (s *session) connected(ctx context.Context, pod *corev1.Pod, port int, opened func(tunnel)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t, err := s.dig(ctx, pod.Name, port)
	if err != nil {
		return err
	}
	opened(t)
	gone := make(chan struct{})
	go func() {
		if s.hasGone(ctx, pod) {
			close(gone)
		}
	}()
	select {
	case err := <-t.lost:
		return err
	case <-gone:
		cancel()
		<-t.lost //nolint:errcheck // it was ended by us: its port is free again
		return nil
	}
}

// hasGone returns true when a pod is about to go, and false if that cannot be seen: the tunnel breaks then, in the next request.
func (s *session) hasGone(ctx context.Context, pod *corev1.Pod) bool {
	of := &corev1.Pod{}
	of.Name, of.Namespace = pod.Name, pod.Namespace
	err := watchObject(ctx, s, of, func(now *corev1.Pod) (bool, error) {
		return now.UID != pod.UID || isGoing(now) || !runs(now), nil
	})
	return err == nil || errors.Is(err, errDeleted) || apierrors.IsNotFound(err)
}
