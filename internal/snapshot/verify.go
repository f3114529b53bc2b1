package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-operator/consul-operator/api/reason"
)

// kept are the kinds of records that a server neither adds to what it restored nor takes away by itself. Queries may go with
// sessions.
var kept = []string{
	"ACLAuthMethod", "ACLBindingRule", "ACLPolicy", "ACLRole", "ACLToken", "ConfigEntry", "Intention", recordKVS, "Peering",
}

// startWithin is how long a server that has no data may take until it leads.
const startWithin = time.Minute

// Verify restores an object into a server of its own, which nobody else reaches, and compares what that has with what is in the
// object.
func (t Task) Verify(ctx context.Context, binary string) (*Saved, error) {
	saved, err := t.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.persist(ctx, func(ctx context.Context) error { return t.verifyOnce(ctx, binary, saved) }); err != nil {
		return nil, err
	}
	return saved, nil
}

func (t Task) verifyOnce(ctx context.Context, binary string, saved *Saved) error {
	dir, err := os.MkdirTemp("", "verify")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err := startServer(ctx, binary, dir, saved.Datacenter)
	if err != nil {
		return err
	}
	defer server.stop()
	t.Consul, t.SHA256 = Consul{Address: "http://" + server.address}, saved.SHA256
	if _, err := t.restoreOnce(ctx); err != nil {
		return err
	}
	restored, err := t.Consul.contents(ctx)
	if err != nil {
		return err
	}
	return compare(saved, restored)
}

// compare compares what a server has with what it restored.
func compare(saved *Saved, restored *Contents) error {
	var wrong []string
	for _, kind := range kept {
		is, was := restored.Records[kind], saved.Records[kind]
		if kind == recordKVS && is < was && was-is <= saved.LockedKeys {
			continue // sessions whose nodes are not there have ended
		}
		if is != was {
			wrong = append(wrong, fmt.Sprintf("%d instead of %d of kind %s", is, was, kind))
		}
	}
	if len(wrong) > 0 {
		return failed(reason.SnapshotDamaged, errors.New("a server that restored it has "+strings.Join(wrong, ", ")))
	}
	return nil
}

// contents are what a cluster has.
func (c Consul) contents(ctx context.Context) (*Contents, error) {
	from, err := c.save(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.Close() }()
	return Read(from)
}

// server is a Consul process on the loopback address.
type server struct {
	process *exec.Cmd
	address string
	log     string
}

// startServer starts a server and waits until it leads.
func startServer(ctx context.Context, binary, dir, datacenter string) (*server, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"server": true, "bootstrap_expect": 1, "data_dir": filepath.Join(dir, "data"), "datacenter": datacenter,
		"node_name": "verify", "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "disable_update_check": true,
		"ports": map[string]int{
			"http": ports[0], "server": ports[1], "serf_lan": ports[2], "serf_wan": -1, "dns": -1, "grpc": -1, "grpc_tls": -1,
		},
		// It would call the peers in the snapshot.
		"connect": map[string]bool{"enabled": false}, "peering": map[string]bool{"enabled": false},
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	s := &server{address: fmt.Sprintf("127.0.0.1:%d", ports[0]), log: filepath.Join(dir, "log")}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	s.process = exec.CommandContext(ctx, binary, "agent", "-config-file="+file) //nolint:gosec // the binary of the image
	s.process.Env = append(os.Environ(), "TMPDIR="+dir)
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	if err := s.awaitLeader(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// awaitLeader waits until the server leads, and has established its leadership: before, it restores nothing.
func (s *server) awaitLeader(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	client, err := api.NewClient(&api.Config{Address: s.address})
	if err != nil {
		return err
	}
	for {
		if _, _, err := client.KV().Get("any", &api.QueryOptions{RequireConsistent: true}); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(s.log)
			return fmt.Errorf("the server for the test does not lead: %s", lastLines(text))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func lastLines(text []byte) string { return string(text[max(0, len(text)-500):]) }

func (s *server) stop() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// freePorts are ports that nobody listens at: a Job's pod has a network of its own.
func freePorts(n int) ([]int, error) {
	var ports []int
	var open []io.Closer
	defer func() {
		for _, listener := range open {
			_ = listener.Close()
		}
	}()
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		open = append(open, listener)
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
