package observer

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/consul-operator/consul-operator/test/lib/await"
)

// metricsInterval is how long Consul sums up its metrics before it starts afresh.
const metricsInterval = 10 * time.Second

// Idle is what happened in a window in which nothing should (I5).
type Idle struct {
	// Writes to the API server, to any object of the cluster: kind/name and resource version.
	Writes []string
	// Calls to the servers' HTTP API by method and path, such as "GET v1_status_leader", but for the observer's own.
	// Probes of the kubelet are among them; a blocking query counts when it returns.
	Calls map[string]int
}

type idleWindow struct {
	writes []string
}

// WatchIdle watches for the given time and returns what was written and called. The observer asks Consul nothing
// meanwhile except for its metrics.
func (o *Observer) WatchIdle(ctx context.Context, duration time.Duration) (Idle, error) {
	window := &idleWindow{}
	o.mu.Lock()
	o.idle, o.model.paused = window, true
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.idle = nil
		o.model.resume(o.now())
	}()
	calls := map[string]int{}
	// The interval that was under way at the start holds the observer's own questions, and others from before.
	if err := await.Sleep(ctx, metricsInterval); err != nil {
		return Idle{}, err
	}
	o.mu.Lock()
	window.writes = nil
	o.mu.Unlock()
	for end := o.now().Add(duration); o.now().Before(end); {
		if err := await.Sleep(ctx, metricsInterval); err != nil {
			return Idle{}, err
		}
		if err := o.addCalls(ctx, calls); err != nil {
			return Idle{}, err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return Idle{Writes: window.writes, Calls: calls}, nil
}

func (o *Observer) pausedForIdle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.idle != nil
}

func (o *Observer) countWrite(resource string, u *unstructured.Unstructured) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.idle != nil {
		o.idle.writes = append(o.idle.writes, fmt.Sprintf("%s/%s at resourceVersion %s",
			resource, u.GetName(), u.GetResourceVersion()))
	}
}

// addCalls adds what each server's last complete interval counted.
func (o *Observer) addCalls(ctx context.Context, calls map[string]int) error {
	o.mu.Lock()
	servers := map[string]string{}
	for _, s := range o.model.servers {
		if s.pod && s.address() != "" {
			servers[s.name] = s.address()
		}
	}
	o.mu.Unlock()
	for name, address := range servers {
		p := &poller{observer: o, name: name, address: address}
		var metrics struct {
			Samples []struct {
				Name   string
				Count  int
				Labels map[string]string
			}
		}
		if err := p.get(ctx, "/v1/agent/metrics", &metrics); err != nil {
			return fmt.Errorf("metrics of %s: %w", name, err)
		}
		for _, sample := range metrics.Samples {
			path := sample.Labels["path"]
			if strings.HasSuffix(sample.Name, "api.http") && path != "v1_agent_metrics" {
				calls[sample.Labels["method"]+" "+path] += sample.Count
			}
		}
	}
	return nil
}

// resume counts the time in which nobody was asked as answered.
func (m *model) resume(now time.Time) {
	m.paused = false
	for s := range maps.Values(m.servers) {
		if !s.answered.IsZero() && !s.refused {
			s.answered = now
		}
	}
	if m.current() != nil {
		m.confirmed = now
	}
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
