package localcluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// action is what probes and hooks have in common.
type action struct {
	exec    *corev1.ExecAction
	httpGet *corev1.HTTPGetAction
	tcp     *corev1.TCPSocketAction
}

// probeAll runs the container's probes until ctx ends: the startup probe first, then readiness and liveness.
func (c *container) probeAll(ctx context.Context, run *execution, unhealthy chan<- time.Duration) {
	if c.spec.StartupProbe != nil && !c.probeStartup(ctx, run, unhealthy) {
		return
	}
	c.startedOnce.Do(func() { close(c.hasStarted) })
	c.worker.update(func() {
		if c.proc != nil {
			c.started, c.ready = true, c.spec.ReadinessProbe == nil
		}
	})
	var probes sync.WaitGroup
	defer probes.Wait()
	if probe := c.spec.ReadinessProbe; probe != nil {
		probes.Go(func() {
			c.probe(ctx, run, "Readiness", probe, func(healthy bool) bool {
				c.setReady(healthy)
				return true
			})
		})
	}
	if probe := c.spec.LivenessProbe; probe != nil {
		probes.Go(func() {
			c.probe(ctx, run, "Liveness", probe, func(healthy bool) bool {
				if !healthy {
					c.killUnhealthy("liveness", probe, unhealthy)
				}
				return healthy
			})
		})
	}
}

func (c *container) probeStartup(ctx context.Context, run *execution, unhealthy chan<- time.Duration) bool {
	started := false
	c.probe(ctx, run, "Startup", c.spec.StartupProbe, func(healthy bool) bool {
		started = healthy
		if !healthy {
			c.killUnhealthy("startup", c.spec.StartupProbe, unhealthy)
		}
		return false
	})
	return started
}

func (c *container) setReady(ready bool) {
	c.worker.mu.Lock()
	changed := c.ready != ready && c.proc != nil
	c.worker.mu.Unlock()
	if changed {
		c.worker.update(func() { c.ready = ready && c.proc != nil })
	}
}

func (c *container) killUnhealthy(kind string, probe *corev1.Probe, unhealthy chan<- time.Duration) {
	grace := c.worker.gracePeriod()
	if probe.TerminationGracePeriodSeconds != nil {
		grace = time.Duration(*probe.TerminationGracePeriodSeconds) * time.Second
	}
	if c.ctx.Err() == nil {
		c.worker.event(corev1.EventTypeNormal, "Killing", "Container %s failed %s probe, will be restarted", c.spec.Name, kind)
	}
	select {
	case unhealthy <- grace:
	default:
	}
}

func (w *podWorker) gracePeriod() time.Duration {
	if s := w.newest().Spec.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return 30 * time.Second
}

// probe repeats a probe until ctx ends or decide, which hears each time a threshold is reached, returns false.
func (c *container) probe(ctx context.Context, run *execution, kind string, p *corev1.Probe, decide func(healthy bool) bool) {
	if !sleep(ctx, time.Duration(p.InitialDelaySeconds)*time.Second) {
		return
	}
	tick := time.NewTicker(time.Duration(max(1, p.PeriodSeconds)) * time.Second)
	defer tick.Stop()
	var successes, failures int32
	for {
		err := c.probeOnce(ctx, run, p)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			successes, failures = successes+1, 0
			if successes >= max(1, p.SuccessThreshold) && !decide(true) {
				return
			}
		default:
			successes, failures = 0, failures+1
			c.worker.event(corev1.EventTypeWarning, "Unhealthy", "%s probe failed: %s", kind, err)
			if failures >= max(1, p.FailureThreshold) && !decide(false) {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *container) probeOnce(ctx context.Context, run *execution, p *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(1, p.TimeoutSeconds))*time.Second)
	defer cancel()
	return c.act(ctx, run, action{exec: p.Exec, httpGet: p.HTTPGet, tcp: p.TCPSocket})
}

func (c *container) act(ctx context.Context, run *execution, a action) error {
	switch {
	case a.exec != nil:
		return c.exec(ctx, run, a.exec.Command)
	case a.httpGet != nil:
		return c.httpGet(ctx, a.httpGet)
	case a.tcp != nil:
		return c.tcpConnect(ctx, a.tcp)
	}
	return errors.New("the local cluster knows exec, httpGet and tcpSocket only")
}

// probeClient opens a connection for each request, and trusts anybody, as a kubelet does.
var probeClient = &http.Client{Transport: &http.Transport{
	DisableKeepAlives: true,
	TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // probes do not check certificates
}}

func (c *container) httpGet(ctx context.Context, get *corev1.HTTPGetAction) error {
	port, err := c.portNumber(get.Port)
	if err != nil {
		return err
	}
	scheme := "http"
	if get.Scheme == corev1.URISchemeHTTPS {
		scheme = "https"
	}
	target, err := url.Parse(get.Path)
	if err != nil {
		return err
	}
	target.Scheme, target.Host = scheme, net.JoinHostPort(c.probeHost(get.Host), strconv.Itoa(port))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "kube-probe/localcluster")
	for _, header := range get.HTTPHeaders {
		request.Header.Add(header.Name, header.Value)
		if http.CanonicalHeaderKey(header.Name) == "Host" {
			request.Host = header.Value
		}
	}
	response, err := probeClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 10<<10))
	if response.StatusCode < 200 || response.StatusCode >= 400 {
		return fmt.Errorf("HTTP probe failed with statuscode: %d", response.StatusCode)
	}
	return nil
}

func (c *container) tcpConnect(ctx context.Context, tcp *corev1.TCPSocketAction) error {
	port, err := c.portNumber(tcp.Port)
	if err != nil {
		return err
	}
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(c.probeHost(tcp.Host), strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return connection.Close()
}

func (c *container) probeHost(host string) string {
	if host == "" {
		return c.worker.addresses[0]
	}
	return host
}

func (c *container) portNumber(port intstr.IntOrString) (int, error) {
	if port.Type == intstr.Int {
		return port.IntValue(), nil
	}
	for _, p := range c.spec.Ports {
		if p.Name == port.StrVal {
			return int(p.ContainerPort), nil
		}
	}
	return 0, fmt.Errorf("container %s has no port named %q", c.spec.Name, port.StrVal)
}

// postStart runs the hook; false when it failed, which ends the container.
func (c *container) postStart(ctx context.Context, run *execution, unhealthy chan<- time.Duration) bool {
	if c.spec.Lifecycle == nil || c.spec.Lifecycle.PostStart == nil {
		return true
	}
	if err := c.hook(ctx, run, c.spec.Lifecycle.PostStart); err != nil {
		c.worker.event(corev1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed: %s", err)
		select {
		case unhealthy <- c.worker.gracePeriod():
		default:
		}
		return false
	}
	return true
}

// preStop runs the hook, at most until ctx ends or the process does.
func (c *container) preStop(ctx context.Context, run *execution, proc *process) {
	if c.spec.Lifecycle == nil || c.spec.Lifecycle.PreStop == nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-proc.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := c.hook(ctx, run, c.spec.Lifecycle.PreStop); err != nil {
		c.worker.event(corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed: %s", err)
	}
}

func (c *container) hook(ctx context.Context, run *execution, h *corev1.LifecycleHandler) error {
	if h.Sleep != nil {
		sleep(ctx, time.Duration(h.Sleep.Seconds)*time.Second)
		return nil
	}
	return c.act(ctx, run, action{exec: h.Exec, httpGet: h.HTTPGet, tcp: h.TCPSocket})
}
