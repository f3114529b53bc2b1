package execute

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// How long to wait for a new leader after a transfer, and how often to look for it.
const (
	leadWithin = 2 * time.Second
	leadEvery  = 5 * time.Millisecond
)

// leader is the leader's own agent: a call that followers forward to it runs into a known bug of Consul.
func (e *Executor) leader(s *observe.Snapshot) consul.Agent { return e.Dial(s.Target(s.Raft.Leader)) }

func (e *Executor) leave(ctx context.Context, s *observe.Snapshot, a plan.Leave) (Outcome, error) {
	// The answer comes when the server is gone, long after the timeout of a call.
	if err := e.Dial(s.Target(a.Server)).Leave(ctx); err != nil && !errors.Is(err, consul.ErrUnanswered) {
		return Outcome{}, err
	}
	return Outcome{Event: a.Server + " leaves the cluster"}, nil
}

func (e *Executor) forceLeave(ctx context.Context, s *observe.Snapshot, a plan.ForceLeave) (Outcome, error) {
	err := ignoreGone(e.leader(s).ForceLeave(ctx, a.Node))
	return Outcome{Event: a.Node + " is dead: Serf was told that it has left"}, err
}

func (e *Executor) removePeer(ctx context.Context, s *observe.Snapshot, a plan.RemovePeer) (Outcome, error) {
	err := ignoreGone(e.leader(s).RemovePeer(ctx, a.ID))
	return Outcome{Event: fmt.Sprintf("removed the dead Raft peer %s (%s)", a.Name, a.ID)}, err
}

func ignoreGone(err error) error {
	if errors.Is(err, consul.ErrNotFound) {
		return nil
	}
	return err
}

func (e *Executor) setMinQuorum(ctx context.Context, s *observe.Snapshot, a plan.SetMinQuorum) (Outcome, error) {
	return Outcome{}, e.leader(s).SetAutopilot(ctx, map[string]string{consul.SettingMinQuorum: strconv.Itoa(a.Servers)})
}

func (e *Executor) setAutopilot(ctx context.Context, s *observe.Snapshot, a plan.SetAutopilot) (Outcome, error) {
	var changes []string
	for _, name := range slices.Sorted(maps.Keys(a.Settings)) {
		changes = append(changes, fmt.Sprintf("%s is %s, was %s", name, a.Settings[name], s.Raft.Autopilot[name]))
	}
	return Outcome{Event: "autopilot: " + strings.Join(changes, "; ")}, e.leader(s).SetAutopilot(ctx, a.Settings)
}

// transferLeadership hands leadership to a voter and watches until it leads: Consul's own success only means that the old
// leader stepped down.
func (e *Executor) transferLeadership(ctx context.Context, s *observe.Snapshot, a plan.TransferLeadership) (Outcome, error) {
	start := e.Now()
	asked := e.leader(s).TransferLeadership(ctx, resources.NodeID(resources.Identity(s.Cluster), a.To))
	if asked != nil && !errors.Is(asked, consul.ErrUnanswered) {
		return Outcome{}, asked
	}
	if err := awaitLeadership(ctx, e.Dial(s.Target(a.To)), s.Raft.Term); err != nil {
		return Outcome{}, fmt.Errorf("%s was not seen to lead within %s of the request: %w", a.To, leadWithin, err)
	}
	took := e.Now().Sub(start)
	return Outcome{
		Event: fmt.Sprintf("leadership moved from %s to %s in %d ms", a.From, a.To, took.Milliseconds()),
		Handoff: &v1alpha1.Handoff{
			From: a.From, To: a.To, At: metav1.NewTime(e.Now()), Took: metav1.Duration{Duration: took.Round(time.Millisecond)},
		},
	}, nil
}

// awaitLeadership waits until an agent leads in a term after the given one; ErrStale if it does not in time.
func awaitLeadership(ctx context.Context, target consul.Agent, after uint64) error {
	ctx, cancel := context.WithTimeout(ctx, leadWithin)
	defer cancel()
	tick := time.NewTicker(leadEvery)
	defer tick.Stop()
	for {
		if self, err := target.Self(ctx); err == nil && self.Leads && self.Term > after {
			return nil
		}
		select {
		case <-ctx.Done():
			return ErrStale
		case <-tick.C:
		}
	}
}
