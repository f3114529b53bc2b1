package observer

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// memberAlive is Serf's status of a member that is there.
const memberAlive = 1

// poller asks one server for its own view of Raft, over and over. All questions are answered from the server's
// memory, leader or not once it has heard of one, and cost it next to nothing.
type poller struct {
	observer           *Observer
	name, uid, address string

	id, version string
	term        uint64
	termAt      time.Time
}

func (p *poller) run(ctx context.Context) {
	ticker := time.NewTicker(p.observer.options.Interval)
	defer ticker.Stop()
	for {
		if !p.observer.pausedForIdle() {
			p.poll(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (p *poller) poll(ctx context.Context) {
	v, err := p.look(ctx)
	o := p.observer
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		o.update(func(m *model, now time.Time) { m.unreachable(now, p.name, p.uid) })
		return
	}
	var removed map[string]peer
	var before view
	o.update(func(m *model, now time.Time) {
		v.at = now
		before = m.leaderView
		m.answer(p.name, p.uid, p.version, v)
		if m.leaderView.at.Equal(v.at) {
			removed = removedPeers(before, v)
		}
	})
	if len(removed) > 0 {
		p.checkRemoved(ctx, removed, before.at)
	}
}

// look asks the server for its view.
func (p *poller) look(ctx context.Context) (view, error) {
	if p.id == "" {
		if err := p.introduce(ctx); err != nil {
			return view{}, err
		}
	}
	v, leads, err := p.configuration(ctx)
	// The term tells a new leader from one of old. It cannot change without the leader's stepping down, so asking
	// for it now and then is enough to notice one that lost leadership and won it again.
	if err == nil && leads && v.started.Sub(p.termAt) > time.Second {
		if err := p.introduce(ctx); err != nil {
			return view{}, err
		}
		p.termAt = v.started
		// One that has stepped down meanwhile has told the term of its successor.
		v, leads, err = p.configuration(ctx)
	}
	if err != nil || !leads {
		p.termAt = time.Time{}
		return v, err
	}
	v.term = p.term
	return v, nil
}

// configuration is the server's view of the peers, and whether it leads them by its own word.
func (p *poller) configuration(ctx context.Context) (v view, leads bool, err error) {
	v = view{started: p.observer.now(), peers: map[string]peer{}}
	var configuration struct {
		Servers []struct {
			ID, Node      string
			Leader, Voter bool
		}
	}
	if err := p.get(ctx, "/v1/operator/raft/configuration?stale", &configuration); err != nil {
		return view{}, false, err
	}
	for _, s := range configuration.Servers {
		name := p.observer.nameOf(s.ID, s.Node)
		v.peers[name] = peer{id: s.ID, voter: s.Voter}
		if s.Leader {
			v.leader = name
			leads = s.ID == p.id
		}
	}
	return v, leads, nil
}

// introduce learns the server's id, version and term.
func (p *poller) introduce(ctx context.Context) error {
	var self struct {
		Config struct{ NodeID, Version string }
		Stats  struct {
			Raft struct{ Term string }
		}
	}
	if err := p.get(ctx, "/v1/agent/self", &self); err != nil {
		return err
	}
	term, err := strconv.ParseUint(self.Stats.Raft.Term, 10, 64)
	if err != nil {
		return fmt.Errorf("term of %s: %w", p.name, err)
	}
	p.id, p.version, p.term = self.Config.NodeID, self.Config.Version, term
	p.observer.introduce(p.id, p.name)
	return nil
}

// checkRemoved asks Serf, after the removal, whether the removed peers are alive. They were peers when viewed last.
func (p *poller) checkRemoved(ctx context.Context, removed map[string]peer, viewed time.Time) {
	var members []struct {
		Tags   map[string]string
		Status int
	}
	if err := p.get(ctx, "/v1/agent/members", &members); err != nil {
		return // Unknown is not alive; a leader that does not answer is seen elsewhere.
	}
	for name, removedPeer := range removed {
		for _, member := range members {
			if member.Tags["id"] == removedPeer.id && member.Status == memberAlive {
				p.observer.update(func(m *model, now time.Time) { m.aliveAfterRemoval(now, name, viewed) })
			}
		}
	}
}

func (p *poller) get(ctx context.Context, path string, into any) error {
	access := p.observer.options.Access
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, access.Scheme()+"://"+access.At(p.address)+path, nil)
	if err != nil {
		return err
	}
	response, err := p.observer.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", p.name, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

func (o *Observer) introduce(id, name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.names[id] = name
}

// nameOf is the server with this node id. Consul itself does not know the name of a peer that is not in Serf.
func (o *Observer) nameOf(id, node string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if name, ok := o.names[id]; ok {
		return name
	}
	if node != "" && node != "(unknown)" {
		return node
	}
	return id
}
