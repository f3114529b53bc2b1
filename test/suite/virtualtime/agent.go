package virtualtime

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/test/lib/sim"
	"github.com/consul-operator/consul-operator/test/lib/timed"
)

var _ consul.Agent = (*agent)(nil)

// agent is the HTTP API of the server at an address.
type agent struct {
	o        *operator
	to       consul.Target
	ip, name string
	// watches is set if the watcher of idle clusters asks, which is no part of a pass.
	watches bool
}

// dial is a consul.Dialer. Nobody is at an address without a port.
func (o *operator) dial(to consul.Target) consul.Agent {
	ip, _, _ := net.SplitHostPort(to.Address)
	w := o.run.world
	w.mu.Lock()
	defer w.mu.Unlock()
	a := &agent{o: o, to: to, ip: ip, name: "nobody"}
	if c, i := w.serverAt(ip); c != nil {
		a.name = c.Servers[i].Name
	}
	return a
}

// dialToWatch is the consul.Dialer of the watcher.
func (o *operator) dialToWatch(to consul.Target) consul.Agent {
	a := o.dial(to).(*agent)
	a.watches = true
	return a
}

// answer of the server in slot i of c. It may say how much later than usual it comes.
type answer func(c *cluster, i int) (time.Duration, error)

// ask does one call to a server, if there is one at the address.
func (a *agent) ask(ctx context.Context, verb string, effect bool, do answer) error {
	if a.watches {
		return a.askQuietly(verb, do)
	}
	asked := call{verb: verb, kind: "Consul", name: a.name, takes: askTakes, effect: effect}
	err := a.o.call(ctx, asked, func() (time.Duration, error) {
		c, i := a.o.run.world.serverAt(a.ip)
		if c == nil {
			return 0, consul.ErrUnreachable
		}
		switch x := c.State.Servers[i]; {
		case x.Pod == sim.PodLost:
			return consul.DefaultTimeout, consul.ErrUnreachable
		case x.Process == sim.Hung:
			return consul.DefaultTimeout, consul.ErrUnanswered
		case x.Process == sim.Down:
			return 0, consul.ErrUnreachable
		case !a.isBelieved(c, i):
			return 0, consul.ErrUntrusted
		case a.isRefused(c, i, verb):
			return 0, consul.ErrForbidden
		}
		return do(c, i)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", asked, err)
	}
	return nil
}

// isRefused reports whether the ACLs of a server refuse a call.
func (a *agent) isRefused(c *cluster, i int, verb string) bool {
	if slices.Contains([]string{"self", "members", "reload", "leave"}, verb) {
		return c.RefusesAboutItself(i, a.to.AgentToken) && !a.hasFormerToken(c, i)
	}
	return c.Refuses(i, a.to.Token)
}

// isBelieved reports whether the operator believes the certificate of a server, as its connections verify it.
func (a *agent) isBelieved(c *cluster, i int) bool {
	presented := c.Servers[i].Certified.Presented
	if a.to.TLS == nil || len(presented) == 0 {
		return true
	}
	return a.o.run.world.proofs.believes(a.to.TLS, presented)
}

// hasFormerToken reports whether a server has not read its tokens again, and knows the operator by the former one.
func (a *agent) hasFormerToken(c *cluster, i int) bool {
	former := a.to.FormerAgentToken
	return former != "" && c.RefusesAboutItself(i, a.to.AgentToken) && !c.RefusesAboutItself(i, former)
}

// askQuietly does a call with which nothing is to go wrong.
func (a *agent) askQuietly(verb string, do answer) error {
	w := a.o.run.world
	w.mu.Lock()
	defer w.mu.Unlock()
	c, i := w.serverAt(a.ip)
	if c == nil || c.State.Servers[i].Process != sim.Up {
		return consul.ErrUnreachable
	}
	if a.isRefused(c, i, verb) {
		return consul.ErrForbidden
	}
	_, err := do(c, i)
	return err
}

// askLeader is for what only a leader with a quorum can answer.
func (a *agent) askLeader(ctx context.Context, verb string, effect bool, do answer) error {
	return a.ask(ctx, verb, effect, func(c *cluster, i int) (time.Duration, error) {
		if !c.State.Works() {
			return consul.DefaultTimeout, consul.ErrUnanswered
		}
		return do(c, i)
	})
}

func (a *agent) Self(ctx context.Context) (self consul.Self, err error) {
	err = a.ask(ctx, "self", false, func(c *cluster, i int) (time.Duration, error) {
		self = c.Self(i)
		self.UsesFormerToken = a.hasFormerToken(c, i)
		return 0, nil
	})
	return self, err
}

func (a *agent) RaftPeers(ctx context.Context) (peers []plan.Peer, err error) {
	err = a.ask(ctx, "raft-peers", false, func(c *cluster, _ int) (time.Duration, error) {
		peers = c.Peers()
		return 0, nil
	})
	return peers, err
}

func (a *agent) Members(ctx context.Context) (members []plan.Member, err error) {
	err = a.ask(ctx, "members", false, func(c *cluster, _ int) (time.Duration, error) {
		members = c.Members()
		return 0, nil
	})
	return members, err
}

// ClientAgents are none: the model has servers only.
func (a *agent) ClientAgents(ctx context.Context) (consul.ClientAgents, error) {
	return consul.ClientAgents{}, a.ask(ctx, "members", false, func(*cluster, int) (time.Duration, error) { return 0, nil })
}

func (a *agent) Keyring(ctx context.Context) (keyring consul.Keyring, err error) {
	err = a.ask(ctx, "keyring", false, func(c *cluster, _ int) (time.Duration, error) {
		var err error
		keyring, err = c.Keyring()
		return 0, err
	})
	return keyring, err
}

func (a *agent) InstallGossipKey(ctx context.Context, key string) error {
	return a.changeKeyring(ctx, "install-key", func(c *cluster) error {
		if !c.IsNewKey(key) {
			return errors.New("this key is not known")
		}
		a.change(c, func(s *sim.State) { s.InstallKey() })
		return nil
	})
}

func (a *agent) UseGossipKey(ctx context.Context, key string) error {
	return a.changeKeyring(ctx, "use-key", func(c *cluster) error {
		if !c.IsNewKey(key) {
			return errors.New("this key is not known")
		}
		a.o.run.judge(c, plan.RotateGossip{Step: plan.UseKey})
		a.change(c, func(s *sim.State) { s.UseKey() })
		return nil
	})
}

func (a *agent) RemoveGossipKey(ctx context.Context, key string) error {
	return a.changeKeyring(ctx, "remove-key", func(c *cluster) error {
		if !c.IsFormerKey(key) {
			return errors.New("this key is used")
		}
		a.o.run.judge(c, plan.RotateGossip{Step: plan.RemoveKeys})
		a.change(c, func(s *sim.State) { s.RemoveKeys() })
		return nil
	})
}

// changeKeyring is an effect on all members.
func (a *agent) changeKeyring(ctx context.Context, verb string, do func(*cluster) error) error {
	return a.ask(ctx, verb, true, func(c *cluster, _ int) (time.Duration, error) { return 0, do(c) })
}

func (a *agent) MakeToken(ctx context.Context, t consul.Token) error {
	return a.askLeader(ctx, "make-token", true, func(c *cluster, _ int) (time.Duration, error) { return 0, c.MakeToken(t) })
}

// GrantAnonymous changes nothing that the operator sees.
func (a *agent) GrantAnonymous(ctx context.Context, _ consul.Policy) error {
	return a.askLeader(ctx, "grant-anonymous", true, func(*cluster, int) (time.Duration, error) { return 0, nil })
}

func (a *agent) RevokeToken(ctx context.Context, secret string) error {
	return a.loseToken(ctx, "revoke-token", plan.RevokeTokens, secret)
}

func (a *agent) DeleteToken(ctx context.Context, secret string) error {
	return a.loseToken(ctx, "delete-token", plan.ForgetTokens, secret)
}

// loseToken is a step of the rotation of tokens. Those that follow from the management token are lost in the step before.
func (a *agent) loseToken(ctx context.Context, verb string, step plan.TokenStep, secret string) error {
	return a.askLeader(ctx, verb, true, func(c *cluster, _ int) (time.Duration, error) {
		if !c.IsFormerManagement(secret) {
			step = plan.RevokeTokens
		}
		a.o.run.judge(c, plan.RotateTokens{Step: step})
		a.change(c, func(*sim.State) { c.LoseToken(secret) })
		return 0, nil
	})
}

func (a *agent) Catalog(ctx context.Context) (nodes []plan.Node, err error) {
	err = a.ask(ctx, "catalog", false, func(c *cluster, _ int) (time.Duration, error) {
		nodes = c.Catalog()
		return 0, nil
	})
	return nodes, err
}

func (a *agent) Health(ctx context.Context) (health map[string]plan.Health, err error) {
	err = a.askLeader(ctx, "autopilot-health", false, func(c *cluster, _ int) (time.Duration, error) {
		health = c.Health()
		return 0, nil
	})
	return health, err
}

func (a *agent) LeaderAddr(ctx context.Context) (addr string, err error) {
	err = a.ask(ctx, "leader", false, func(c *cluster, slot int) (time.Duration, error) {
		addr = c.Self(slot).LeaderAddr
		return 0, nil
	})
	return addr, err
}

func (a *agent) Autopilot(ctx context.Context) (settings map[string]string, err error) {
	err = a.askLeader(ctx, "autopilot", false, func(c *cluster, _ int) (time.Duration, error) {
		settings = map[string]string{consul.SettingMinQuorum: strconv.Itoa(int(c.State.MinQuorum))}
		return 0, nil
	})
	return settings, err
}

// SetAutopilot knows of the only setting that the model has.
func (a *agent) SetAutopilot(ctx context.Context, settings map[string]string) error {
	return a.askLeader(ctx, "set-autopilot", true, func(c *cluster, _ int) (time.Duration, error) {
		n, err := strconv.ParseUint(settings[consul.SettingMinQuorum], 10, 8)
		c.State.MinQuorum = uint8(n)
		return 0, err
	})
}

func (a *agent) TransferLeadership(ctx context.Context, id string) error {
	return a.askLeader(ctx, "transfer-leader", true, func(c *cluster, i int) (time.Duration, error) {
		to := c.Slot(func(x timed.Server) bool { return x.ID == id })
		if to < 0 {
			return 0, consul.ErrNotFound
		}
		a.o.run.judge(c, plan.TransferLeadership{From: sim.Name(i), To: sim.Name(to)})
		known := true
		a.change(c, func(s *sim.State) { known = s.TransferLeadership(to) })
		if !known {
			return 0, consul.ErrNotFound
		}
		return 10 * time.Millisecond, nil
	})
}

func (a *agent) Reload(ctx context.Context) error {
	return a.ask(ctx, "reload", true, func(c *cluster, i int) (time.Duration, error) {
		c.ReadFiles(i, time.Now())
		a.o.run.world.expectHeard(c)
		return 0, nil
	})
}

// Leave is answered when the server is gone, long after a call's timeout.
func (a *agent) Leave(ctx context.Context) error {
	return a.ask(ctx, "leave", true, func(c *cluster, i int) (time.Duration, error) {
		if c.State.Servers[i].Process == sim.Up {
			a.o.run.judge(c, plan.Leave{Server: sim.Name(i)})
			a.change(c, func(s *sim.State) { s.LeaveCluster(i) })
		}
		return consul.DefaultTimeout, consul.ErrUnanswered
	})
}

func (a *agent) ForceLeave(ctx context.Context, node string) error {
	return a.ask(ctx, "force-leave", true, func(c *cluster, _ int) (time.Duration, error) {
		gone := c.Named(node)
		if gone < 0 || c.State.Servers[gone].Serf == sim.Absent {
			return 0, consul.ErrNotFound
		}
		a.o.run.judge(c, plan.ForceLeave{Node: sim.Name(gone)})
		a.change(c, func(s *sim.State) { s.ForceLeave(gone) })
		return 0, nil
	})
}

func (a *agent) RemovePeer(ctx context.Context, id string) error {
	return a.askLeader(ctx, "remove-peer", true, func(c *cluster, _ int) (time.Duration, error) {
		gone := c.Slot(func(x timed.Server) bool { return x.ID == id })
		if gone < 0 || c.State.Servers[gone].Peer == sim.NoPeer {
			return 0, consul.ErrNotFound
		}
		a.o.run.judge(c, plan.RemovePeer{ID: id, Name: sim.Name(gone)})
		a.change(c, func(s *sim.State) { s.RemovePeer(gone) })
		return 0, nil
	})
}

// Deregister is for nodes that only a restored snapshot brings, and there are none here.
func (a *agent) Deregister(context.Context, string) error { return consul.ErrNotFound }

func (a *agent) change(c *cluster, do func(*sim.State)) { a.o.run.world.change(c, time.Now(), do) }

// watch calls look after each change of Consul, until it returns true, ctx is done or the server is gone.
func (a *agent) watch(ctx context.Context, look func(c *cluster) bool) error {
	w := a.o.run.world
	for {
		w.mu.Lock()
		c, i := w.serverAt(a.ip)
		gone := c == nil || c.State.Servers[i].Process == sim.Down
		seen := !gone && look(c)
		changed := w.changed
		w.mu.Unlock()
		switch {
		case gone:
			return consul.ErrUnanswered
		case seen:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// WatchServers is the blocking query on the catalog.
func (a *agent) WatchServers(ctx context.Context, index uint64, wait time.Duration) func() (uint64, error) {
	return func() (uint64, error) {
		next := index
		ctxWait, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		err := a.watch(ctxWait, func(c *cluster) bool {
			next = c.CatalogIndex()
			return next != index
		})
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
		return next, err
	}
}

// WatchLeader is the stream of leadership changes.
func (a *agent) WatchLeader(ctx context.Context) func(changed func()) error {
	return func(changed func()) error {
		opened, term, leader := false, uint64(0), int8(0)
		return a.watch(ctx, func(c *cluster) bool {
			if !opened || c.Term != term || c.State.Leader != leader {
				opened, term, leader = true, c.Term, c.State.Leader
				changed()
			}
			return false
		})
	}
}
