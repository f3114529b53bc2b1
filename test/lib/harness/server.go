package harness

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/internal/resources"
)

// Process is the process of a Consul server, if it runs: on the local cluster a child of ours, on nodes of this machine one
// that is found by its cgroup. Signals go to this process and to no other that gets its number.
func (s *Scene) Process(ctx context.Context, server string) (*os.Process, bool) {
	pid, runs := s.serverPID(ctx, client.ObjectKey{Namespace: s.Key.Namespace, Name: server})
	if !runs {
		return nil, false
	}
	process, err := os.FindProcess(pid)
	return process, err == nil
}

func (e *Env) serverPID(ctx context.Context, key client.ObjectKey) (int, bool) {
	if e.Cluster != nil {
		return e.Cluster.PID(key.Namespace, key.Name, resources.ContainerConsul)
	}
	pod := &corev1.Pod{}
	if e.Client.Get(ctx, key, pod) != nil {
		return 0, false
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/comm") // the pattern is a valid one
	for _, command := range commands {
		dir := filepath.Dir(command)
		if read(command) != "consul" || !strings.Contains(read(filepath.Join(dir, "cgroup")), "pod"+string(pod.UID)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		return pid, err == nil
	}
	return 0, false
}

// agentTimeout is how long an agent may take to answer.
const agentTimeout = 10 * time.Second

// Self is what the agent at an address says of itself.
func (s *Scene) Self(ctx context.Context, ip string) (map[string]map[string]any, error) {
	access, err := s.Access(ctx)
	if err != nil {
		return nil, err
	}
	agent, err := access.Agent(access.At(ip), agentTimeout)
	if err != nil {
		return nil, err
	}
	return agent.Agent().Self()
}

// NodeMeta is the metadata that the agent at an address shows of its node. Consul's catalog has it within two minutes.
func (s *Scene) NodeMeta(ctx context.Context, ip string) (map[string]any, error) {
	self, err := s.Self(ctx, ip)
	return self["Meta"], err
}

// read returns nothing of a process that has ended.
func read(path string) string {
	content, err := os.ReadFile(path) //nolint:gosec // of /proc
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}
