package execute

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// How long a new leader is waited for after a transfer, and how often it is looked for meanwhile.
const (
	leadWithin = 2 * time.Second
	leadEvery  = 5 * time.Millisecond
)

func (e *Executor) consul(ctx context.Context, s *observe.Snapshot, action plan.Action) (Outcome, error) {
	if _, harmless := action.(plan.SetMinQuorum); !harmless {
		if err := e.fresh(ctx, s); err != nil {
			return Outcome{}, err
		}
	}
	// Everything but a leave is asked of the leader's own agent: forwarding through followers has a known bug.
	asked := s.Raft.Leader
	if leave, ok := action.(plan.Leave); ok {
		asked = leave.Server
	}
	agent, err := e.Dial(s.Address(asked))
	if err != nil {
		return Outcome{}, err
	}
	switch a := action.(type) {
	case plan.TransferLeadership:
		return e.transfer(ctx, s, agent, a)
	case plan.Leave:
		// The answer comes when the server is gone, long after the timeout of a call.
		if err := agent.Leave(ctx); err != nil && !errors.Is(err, consul.ErrUnanswered) {
			return Outcome{}, err
		}
		return Outcome{Event: a.Server + " leaves the cluster"}, nil
	case plan.ForceLeave:
		err = ignoreGone(agent.ForceLeave(ctx, a.Node))
		return Outcome{Event: a.Node + " is dead: Serf was told that it has left"}, err
	case plan.RemovePeer:
		err = ignoreGone(agent.RemovePeer(ctx, a.ID))
		return Outcome{Event: fmt.Sprintf("removed the dead Raft peer %s (%s)", a.Name, a.ID)}, err
	case plan.SetMinQuorum:
		return Outcome{}, agent.SetMinQuorum(ctx, uint(a.Servers)) //nolint:gosec // a handful of servers
	}
	return Outcome{}, nil
}

func ignoreGone(err error) error {
	if errors.Is(err, consul.ErrNotFound) {
		return nil
	}
	return err
}

// transfer hands leadership to a voter and watches until it leads: Consul's own success only means that the old
// leader stepped down.
func (e *Executor) transfer(
	ctx context.Context, s *observe.Snapshot, leader consul.Agent, a plan.TransferLeadership,
) (Outcome, error) {
	target, err := e.Dial(s.Address(a.To))
	if err != nil {
		return Outcome{}, err
	}
	start := e.Now()
	asked := leader.TransferLeadership(ctx, resources.NodeID(s.Cluster.UID, a.To))
	if asked != nil && !errors.Is(asked, consul.ErrUnanswered) {
		return Outcome{}, asked
	}
	ctx, cancel := context.WithTimeout(ctx, leadWithin)
	defer cancel()
	tick := time.NewTicker(leadEvery)
	defer tick.Stop()
	for {
		if self, err := target.Self(ctx); err == nil && self.State == consul.Leader && self.Term > s.Raft.Term {
			took := e.Now().Sub(start)
			return Outcome{
				Event:   fmt.Sprintf("leadership moved from %s to %s in %d ms", a.From, a.To, took.Milliseconds()),
				Handoff: &Handoff{From: a.From, To: a.To, Took: took},
			}, nil
		}
		select {
		case <-ctx.Done():
			return Outcome{}, fmt.Errorf("%s was not seen to lead within %s of the request: %w", a.To, leadWithin, ErrStale)
		case <-tick.C:
		}
	}
}
