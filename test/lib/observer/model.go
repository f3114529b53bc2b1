package observer

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answersWithin is for how long after its last answer a server still counts as healthy: longer than a poll that is
// late on a busy machine, shorter than any outage worth the name.
const answersWithin = 2 * time.Second

// peer is a member of a Raft configuration.
type peer struct {
	id    string
	voter bool
}

// view is what one server says of Raft, from its own memory.
type view struct {
	started, at time.Time
	peers       map[string]peer // by server name
	leader      string          // "" if it knows none
	term        uint64          // told only where the server says that it leads itself
}

// server is what is known of one server.
type server struct {
	name      string
	addresses []string // of the pod; the first one is asked

	pod         bool
	podUID      string
	podDeleting bool

	claim         bool
	claimDeleting time.Time // when this was seen first
	retiring      time.Time // when this was seen first

	version  string
	answered time.Time // the last answer of this pod
	refused  bool      // the last try was not answered
	up       time.Time // since when every try was answered

	claimForfeited bool // whoever injects faults deletes its claim
	spans          []Span
}

// address is where a server is asked; empty if its pod has none yet.
func (s *server) address() string {
	if len(s.addresses) == 0 {
		return ""
	}
	return s.addresses[0]
}

// model turns what was seen into a time line and checks the invariants on the way. It is pure: the time is given,
// and nothing is asked for.
type model struct {
	start   time.Time
	servers map[string]*server
	slices  map[string][]string // the client Service's EndpointSlices
	serving map[string]bool     // addresses in any of them
	paused  bool                // nobody is asked, so nobody answers

	leaderships []Leadership
	confirmed   time.Time // when the current leader was last seen to lead
	leaderView  view      // the newest view of a leader

	wanted, floor  int
	faults         bool
	disturbance    disturbance
	stalls         Stalls
	ran            time.Time // when this program last ran; zero before it is watched
	allowedChanges int       // of leadership; negative: any number
	changesBefore  int       // that happened before the expectation was set

	voters       []Step
	servingSteps []Step
	fewest       int
	events       []Event
	violations   violations
}

func newModel(start time.Time, wanted int) *model {
	return &model{
		start: start, servers: map[string]*server{}, slices: map[string][]string{},
		wanted: wanted, allowedChanges: -1, fewest: -1,
	}
}

func (m *model) server(name string) *server {
	s := m.servers[name]
	if s == nil {
		s = &server{name: name}
		m.servers[name] = s
	}
	return s
}

// sorted lists the servers by their serial, so consul-10 comes after consul-9.
func (m *model) sorted() []*server {
	return slices.SortedFunc(maps.Values(m.servers), func(a, b *server) int {
		return cmp.Or(cmp.Compare(serial(a.name), serial(b.name)), cmp.Compare(a.name, b.name))
	})
}

func serial(name string) int {
	n, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	if err != nil {
		return -1
	}
	return n
}

func (m *model) podSeen(at time.Time, name, uid string, addresses []string, deleting bool) {
	s := m.server(name)
	if s.podUID != uid {
		s.podUID, s.answered, s.refused, s.version, s.podDeleting = uid, time.Time{}, false, "", false
	}
	s.pod, s.addresses = true, addresses
	if deleting && !s.podDeleting {
		m.stopping(at, name)
	}
	s.podDeleting = deleting
	m.changed(at)
}

func (m *model) podGone(at time.Time, name, uid string) {
	s := m.server(name)
	if s.podUID != uid {
		return // Its successor of the same name was seen first.
	}
	s.pod, s.podDeleting = false, false
	m.changed(at)
}

func (m *model) claimSeen(at time.Time, name string, retiring, deleting bool) {
	s := m.server(name)
	s.claim = true
	s.retiring = since(s.retiring, at, retiring)
	s.claimDeleting = since(s.claimDeleting, at, deleting)
	m.changed(at)
}

// since keeps the time when a condition began.
func since(before, now time.Time, holds bool) time.Time {
	switch {
	case !holds:
		return time.Time{}
	case before.IsZero():
		return now
	}
	return before
}

func (m *model) claimGone(at time.Time, name string) {
	s := m.server(name)
	s.claim = false
	// A claim without finalizers goes without ever being seen to go.
	s.claimDeleting = since(s.claimDeleting, at, true)
	m.changed(at)
}

func (m *model) endpoints(at time.Time, slice string, addresses []string) {
	m.slices[slice] = addresses
	m.serving = map[string]bool{}
	for _, addresses := range m.slices {
		for _, address := range addresses {
			m.serving[address] = true
		}
	}
	m.servingSteps = step(m.servingSteps, at, m.countServing())
	m.changed(at)
}

// isServing reports whether the client Service sends connections to any address of a server's pod.
func (m *model) isServing(s *server) bool {
	return slices.ContainsFunc(s.addresses, func(address string) bool { return m.serving[address] })
}

func (m *model) countServing() int {
	n := 0
	for _, s := range m.servers {
		if m.isServing(s) {
			n++
		}
	}
	return n
}

// event takes down an event; an event that is counted up is one more.
func (m *model) event(e Event) { m.events = append(m.events, e) }

func (m *model) unreachable(at time.Time, name, uid string) {
	s := m.server(name)
	if s.podUID != uid {
		return
	}
	s.refused = true
	m.changed(at)
}

// answer takes in what a server says of Raft.
func (m *model) answer(name, uid, version string, v view) {
	s := m.server(name)
	if s.podUID != uid {
		return // A process that is gone already.
	}
	if s.answered.IsZero() || s.refused {
		s.up = v.at
	}
	s.answered, s.refused, s.version = v.at, false, version
	switch {
	case v.leader == name:
		m.leads(name, v)
	case m.leader() == name && v.started.After(m.confirmed):
		m.current().To = v.at // It stepped down.
	}
	m.changed(v.at)
}

// leads takes in the view of a server that says that it leads.
func (m *model) leads(name string, v view) {
	current := m.current()
	last := Leadership{}
	if len(m.leaderships) > 0 {
		last = m.leaderships[len(m.leaderships)-1]
	}
	switch {
	case current != nil && current.Server == name && current.Term == v.term:
	case v.term <= last.Term:
		return // A leader of old that does not know yet.
	default:
		if current != nil {
			// Nobody saw it end. It was leading when it was last asked.
			current.To = m.confirmed
		}
		m.leaderships = append(m.leaderships, m.leadership(last, Leadership{Server: name, Term: v.term, From: v.at}))
		m.checkLeaderChanges(v.at)
	}
	m.confirmed, m.leaderView = v.at, v
	m.countVoters(v)
	m.checkView(v)
}

func (m *model) countVoters(v view) {
	n := 0
	for _, p := range v.peers {
		if p.voter {
			n++
		}
	}
	m.voters = step(m.voters, v.at, n)
	if n >= m.wanted {
		m.floor = m.wanted
	}
	if m.floor > 0 && (m.fewest < 0 || n < m.fewest) {
		m.fewest = n
	}
}

func step(steps []Step, at time.Time, n int) []Step {
	if len(steps) > 0 && steps[len(steps)-1].N == n {
		return steps
	}
	return append(steps, Step{at, n})
}

// current is the leadership that lasts, nil if there is none.
func (m *model) current() *Leadership {
	if len(m.leaderships) == 0 {
		return nil
	}
	last := &m.leaderships[len(m.leaderships)-1]
	if !last.To.IsZero() {
		return nil
	}
	return last
}

func (m *model) leader() string {
	if current := m.current(); current != nil {
		return current.Server
	}
	return ""
}

func (m *model) leaderChanges() int { return max(0, len(m.leaderships)-1) }

func (m *model) healthy(s *server, now time.Time) bool {
	return s != nil && s.pod && !s.answered.IsZero() && (m.paused || now.Sub(s.answered) <= answersWithin)
}

func (m *model) state(s *server, now time.Time) State {
	member, isPeer := m.leaderView.peers[s.name]
	switch {
	case !s.pod && (!s.claim || !s.retiring.IsZero()):
		return Gone
	case s.podDeleting, !s.retiring.IsZero() && !isPeer:
		return Leaving
	case !s.pod || s.answered.IsZero():
		if len(s.spans) > 0 && s.spans[len(s.spans)-1].State != Starting && !s.pod {
			return Down
		}
		return Starting
	case !m.healthy(s, now):
		return Down
	case !s.retiring.IsZero():
		return Retiring
	case !isPeer || !member.voter:
		return Joining
	case m.isServing(s):
		return Serving
	}
	return Voting
}

// changed brings the spans of all servers up to date and checks what must hold at all times.
func (m *model) changed(now time.Time) {
	for _, s := range m.servers {
		m.extend(s, now)
	}
	m.heal(now)
	m.checkAlways(now)
}

func (m *model) extend(s *server, now time.Time) {
	state, last := m.state(s, now), len(s.spans)-1
	if last < 0 {
		if state != Gone {
			s.spans = append(s.spans, Span{State: state, Version: s.version, From: now})
		}
		return
	}
	span := &s.spans[last]
	if span.State == state && (span.Version == s.version || s.version == "") {
		return
	}
	version := cmp.Or(s.version, span.Version)
	if span.State == state && span.Version == "" {
		span.Version = version // It just told us.
		return
	}
	span.To = now
	if state == Starting {
		version = s.version
	}
	s.spans = append(s.spans, Span{State: state, Version: version, From: now})
}
