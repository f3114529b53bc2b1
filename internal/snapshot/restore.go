package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/consul-operator/consul-operator/api/reason"
)

// Fit is what a cluster has to have in common with a snapshot that it restores.
type Fit struct {
	// Datacenter is the cluster's: the data names it everywhere.
	Datacenter string
	// Version is the lowest one that a server runs. It may not know what a newer one has written.
	Version string
}

// restorable are the kinds of records that Consul restores (registerRestorer in its agent/consul/fsm/snapshot_ce.go, 1.22.7). It
// stores a snapshot that has others, and crashes at it, one server after the other.
var restorable = map[string]bool{
	recordRegister: true, recordKVS: true, "Session": true, "Tombstone": true, "CoordinateBatchUpdate": true, "PreparedQuery": true,
	"Autopilot": true, "Intention": true, "ConnectCA": true, "ConnectCAProviderState": true, "ConnectCAConfig": true, "Index": true,
	"ACLToken": true, "ACLPolicy": true, "ACLRole": true, "ACLBindingRule": true, "ACLAuthMethod": true, "ConfigEntry": true,
	"ChunkingState": true, "FederationState": true, "SystemMetadata": true, "ServiceVirtualIP": true, "FreeVirtualIP": true,
	"KindServiceName": true, "Peering": true, "PeeringTrustBundle": true, "PeeringSecret": true, "Resource": true,
}

// Check returns why a snapshot cannot be restored.
func (f Fit) Check(c Contents) error {
	if c.Datacenter != "" && c.Datacenter != f.Datacenter {
		return fmt.Errorf("it is of datacenter %s, and the cluster is %s", c.Datacenter, f.Datacenter)
	}
	for kind := range c.Records {
		if !restorable[kind] {
			return fmt.Errorf("it has records of kind %s, which Consul does not restore", kind)
		}
	}
	running, err := version.ParseGeneric(f.Version)
	if err != nil {
		return err
	}
	for _, server := range c.Servers {
		saved, err := version.ParseGeneric(server.Version)
		switch {
		case err != nil, strings.Contains(server.Version, "+ent") && !strings.Contains(f.Version, "+ent"):
			return fmt.Errorf("Consul %s has saved it, which is not what the cluster runs (%s)", server.Version, f.Version)
		case running.LessThan(saved):
			return fmt.Errorf("Consul %s has saved it, and the cluster runs %s: upgrade the cluster first", server.Version, f.Version)
		}
	}
	return nil
}

// inspectFit reads an object, and checks whether it can be restored. A Fit without a datacenter is not checked.
func (t Task) inspectFit(ctx context.Context, fit Fit) (*Saved, error) {
	saved, err := t.Inspect(ctx)
	if err != nil || fit.Datacenter == "" {
		return saved, err
	}
	if err := fit.Check(saved.Contents); err != nil {
		return nil, failed(reason.SnapshotUnfit, err)
	}
	return saved, nil
}

// Restore replaces the state of a cluster by an object. All of it is read and checked first, so what cannot be restored changes
// nothing. Once Consul was given the end of it, only success is an end: a leader that was lost may have restored it alone.
func (t Task) Restore(ctx context.Context, fit Fit) (*Saved, error) {
	saved, err := t.inspectFit(ctx, fit)
	if err != nil {
		return nil, err
	}
	t.SHA256 = saved.SHA256
	isGiven := false
	err = t.persist(ctx, func(ctx context.Context) error {
		given, err := t.restoreOnce(ctx)
		isGiven = isGiven || given
		if err != nil && isGiven {
			return &failure{reason.RestoreIncomplete, err}
		}
		return err
	})
	return saved, err
}

// restoreOnce sends the object to the leader while it is read, and its end when it is known to be what was checked: Consul
// restores nothing that has no end. It reports whether the end was given.
func (t Task) restoreOnce(ctx context.Context) (given bool, err error) {
	read, write := io.Pipe()
	type end struct {
		given bool
		err   error
	}
	ended := make(chan end, 1)
	go func() {
		held := &holdBack{to: write}
		_, err := t.inspectOnce(ctx, held)
		given := err == nil
		if given {
			err = held.release()
		}
		_ = write.CloseWithError(err)
		ended <- end{given, err}
	}()
	restored := t.Consul.restore(ctx, read)
	_ = read.CloseWithError(errAnswered)
	sent := <-ended
	switch {
	case restored == nil:
		return true, nil
	case isNotNow(restored), reasonOf(restored) == reason.ConsulRefuses: // which it does before it restores
		return false, restored
	case sent.given:
		return true, restored
	case errors.Is(sent.err, errAnswered): // before it had all: it refuses
		return false, restored
	}
	return false, sent.err
}

// isNotNow reports whether Raft refuses a snapshot because a change of its configuration is not committed yet, as when autopilot
// has just given a server a vote (restoreUserSnapshot in raft.go of hashicorp/raft, 1.7.3). Nothing was changed.
func isNotNow(err error) bool { return strings.Contains(err.Error(), "cannot restore snapshot now") }

// errAnswered ends the sending when Consul has answered.
var errAnswered = errors.New("Consul has answered")

// endSize is how many bytes are the end of an archive. Without the last 8, which are gzip's checksum, it is not whole.
const endSize = 8

// holdBack passes on all that is written but for the end.
type holdBack struct {
	to  io.Writer
	end []byte
}

func (h *holdBack) Write(p []byte) (int, error) {
	all := slices.Concat(h.end, p)
	more := max(0, len(all)-endSize)
	_, err := h.to.Write(all[:more])
	h.end = append([]byte(nil), all[more:]...)
	return len(p), err
}

// release passes on the end.
func (h *holdBack) release() error {
	_, err := h.to.Write(h.end)
	return err
}
