package observer

import (
	"fmt"
	"slices"
	"time"
)

func (m *model) timeline(end time.Time) Timeline {
	t := Timeline{
		Start: m.start, End: end,
		Leaderships:   slices.Clone(m.leaderships),
		LeaderChanges: m.leaderChanges(),
		Voters:        slices.Clone(m.voters),
		FewestVoters:  max(0, m.fewest),
		Serving:       slices.Clone(m.servingSteps),
		Events:        slices.Clone(m.events),
		Violations:    slices.Clone(m.violations.list),
		Disturbed:     m.disturbance.until(end),
		Stalls:        m.stalls,
	}
	for _, s := range m.sorted() {
		if len(s.spans) > 0 {
			t.Servers = append(t.Servers, Server{Name: s.name, Spans: slices.Clone(s.spans)})
		}
	}
	return t
}

func (m *model) snapshot(now time.Time) Snapshot {
	snapshot := Snapshot{
		Leader:        m.leader(),
		LeaderChanges: m.leaderChanges(),
		FewestVoters:  max(0, m.fewest),
		Serving:       m.countServing(),
		Violations:    len(m.violations.list),
		Faults:        m.faulty(),
		Whole:         m.whole(now),
	}
	if current := m.current(); current != nil {
		snapshot.Term = current.Term
	}
	if len(m.voters) > 0 {
		snapshot.Voters = m.voters[len(m.voters)-1].N
	}
	for _, s := range m.sorted() {
		if len(s.spans) == 0 {
			continue
		}
		last := s.spans[len(s.spans)-1]
		if last.State == Gone && now.Sub(last.From) > 5*time.Second {
			continue // Long enough on the screen to be seen going.
		}
		snapshot.Servers = append(snapshot.Servers, ServerNow{
			Name: s.name, Version: last.Version, Address: s.address(), State: last.State, Since: last.From,
			Voter: m.leaderView.peers[s.name].voter, Leader: m.leader() == s.name,
			Serving: m.isServing(s) && s.pod,
		})
	}
	return snapshot
}

// Changes says what is not as it was before: states of servers, and the leader.
func (s Snapshot) Changes(before Snapshot) []string {
	states := map[string]State{}
	for _, server := range before.Servers {
		states[server.Name] = server.State
	}
	var changes []string
	for _, server := range s.Servers {
		if states[server.Name] != server.State {
			changes = append(changes, fmt.Sprintf("%s is %s", server.Name, server.State))
		}
	}
	switch s.Leader {
	case before.Leader:
	case "":
		changes = append(changes, "no leader")
	default:
		changes = append(changes, fmt.Sprintf("%s leads, term %d", s.Leader, s.Term))
	}
	return changes
}

// Unwanted says what is missing where so many servers, and no others, should serve, all of this version.
func (s Snapshot) Unwanted(replicas int, version string) []string {
	var unwanted []string
	there := 0
	for _, server := range s.Servers {
		if server.State == Gone {
			continue
		}
		there++
		if server.State != Serving || server.Version != version {
			unwanted = append(unwanted, fmt.Sprintf("%s is %s and runs %s", server.Name, server.State, server.Version))
		}
	}
	if there != replicas || s.Voters != replicas {
		unwanted = append(unwanted, fmt.Sprintf("%d servers and %d voters, %d are wanted", there, s.Voters, replicas))
	}
	if s.Leader == "" {
		unwanted = append(unwanted, "no leader")
	}
	return unwanted
}
