package observer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

// violations keeps one entry per episode: a condition that holds for a minute was violated once.
type violations struct {
	list []Violation
	open map[string]int // key of the episode → index in list
}

// check opens, prolongs or ends an episode.
func (v *violations) check(at time.Time, key string, broken invariant.Invariant, bad bool, message func() string) {
	i, isOpen := v.open[key]
	switch {
	case bad && !isOpen:
		if v.open == nil {
			v.open = map[string]int{}
		}
		v.open[key] = len(v.list)
		v.once(at, broken, message())
	case isOpen:
		v.list[i].For = at.Sub(v.list[i].At)
		if !bad {
			delete(v.open, key)
		}
	}
}

func (v *violations) once(at time.Time, broken invariant.Invariant, message string) {
	v.list = append(v.list, Violation{Invariant: broken, Message: message, At: at})
}

// checkAlways checks what must hold whether or not somebody leads.
func (m *model) checkAlways(now time.Time) {
	voters, healthy := []string{}, 0
	for name, p := range m.leaderView.peers {
		if !p.voter {
			continue
		}
		voters = append(voters, name)
		if m.healthy(m.servers[name], now) {
			healthy++
		}
	}
	if len(voters) == 0 || m.floor == 0 || now.Sub(m.start) <= answersWithin {
		return // Not bootstrapped, still on the way to its first full membership, or not all have been asked yet.
	}
	quorum := len(voters)/2 + 1
	m.violations.check(now, "quorum", invariant.I1, !m.faulty() && healthy < quorum, func() string {
		slices.Sort(voters)
		return fmt.Sprintf("%d of %d voters (%s) answer, the quorum is %d",
			healthy, len(voters), strings.Join(voters, ", "), quorum)
	})
}

// checkView checks what only a leader can tell.
func (m *model) checkView(v view) {
	voters := 0
	var retiring, deleted []string
	for name, p := range v.peers {
		if p.voter {
			voters++
		}
		s := m.servers[name]
		if s == nil {
			continue
		}
		// Only a view asked for after the change was seen proves anything. The marker is on the claim: the operator cannot know it any
		// more if a user has deleted that.
		isForgotten := s.claimForfeited && !s.claim
		if !isForgotten && !s.retiring.IsZero() && v.started.After(s.retiring) {
			retiring = append(retiring, name)
		}
		if !s.claimForfeited && !s.claimDeleting.IsZero() && v.started.After(s.claimDeleting) {
			deleted = append(deleted, name)
		}
	}
	slices.Sort(retiring)
	slices.Sort(deleted)
	m.violations.check(v.at, "voters", invariant.I2, !m.faulty() && voters < m.floor, func() string {
		return fmt.Sprintf("%d voters, %d are wanted", voters, m.floor)
	})
	m.violations.check(v.at, "retiring", invariant.I2, len(retiring) > 1, func() string {
		return fmt.Sprintf("%s are retiring at the same time", strings.Join(retiring, " and "))
	})
	m.violations.check(v.at, "claims", invariant.I4, len(deleted) > 0, func() string {
		return fmt.Sprintf("the claim of %s was deleted while it is a Raft peer", strings.Join(deleted, ", "))
	})
}

// removedPeers are the servers that the newest view of the leader has no more, with their ids. Whether they were
// removed rightly, Serf has to say.
func removedPeers(before, after view) map[string]peer {
	removed := map[string]peer{}
	for name, p := range before.peers {
		if _, ok := after.peers[name]; !ok && len(after.peers) > 0 {
			removed[name] = p
		}
	}
	return removed
}

// stopping is called when a pod is first seen to be deleted.
func (m *model) stopping(at time.Time, name string) {
	if m.leader() == name && !m.faulty() && len(m.leaderView.peers) > 1 {
		m.violations.once(at, invariant.I3, fmt.Sprintf("the pod of %s was deleted while it led", name))
	}
}

// aliveAfterRemoval is called when a peer was removed after the view of that time and Serf, asked afterwards, calls its
// member alive. While faults are injected that proves something only for a server that they spared: another one may have
// been removed when it was dead, or have left by itself, and be back before anybody leads who could have told.
func (m *model) aliveAfterRemoval(at time.Time, name string, viewed time.Time) {
	if s := m.servers[name]; m.faulty() && (s == nil || !s.pod || s.podDeleting || s.refused || !s.up.Before(viewed)) {
		return
	}
	m.violations.once(at, invariant.I4, fmt.Sprintf("%s was removed from Raft while its member was alive", name))
}

func (m *model) checkLeaderChanges(at time.Time) {
	changes := m.handovers() - m.changesBefore
	if m.allowedChanges < 0 || m.faulty() || changes <= m.allowedChanges {
		return
	}
	m.violations.once(at, invariant.I3, fmt.Sprintf("leader change %d, at most %d were planned: %s",
		changes, m.allowedChanges, succession(m.leaderships)))
}

func succession(leaderships []Leadership) string {
	names := make([]string, 0, len(leaderships))
	for _, l := range leaderships {
		how := fmt.Sprintf("term %d", l.Term)
		if l.HandoverLost {
			how += ", as the handover was lost"
		}
		if l.Disturbed {
			how += ", while a fault was in effect"
		}
		names = append(names, fmt.Sprintf("%s (%s)", l.Server, how))
	}
	return strings.Join(names, " → ")
}
