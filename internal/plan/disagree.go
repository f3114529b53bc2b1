package plan

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Disagreement is a node on which Kubernetes, Raft, Serf and the catalog do not agree.
type Disagreement struct {
	// Name is the id where no list has a name.
	Name, ID string
	// Problem says where the node is and where it is not, and Action what the operator does about it.
	Problem, Action string
}

// Disagreements compares the lists of servers. Nothing is decided here: what it says of the operator follows from the
// rules. It does not depend on the order of the lists, since Serf's has none, and is empty while no leader is known.
func Disagreements(o Observation, now time.Time) []Disagreement {
	if !o.Raft.Known {
		return nil
	}
	v := look(&o, now)
	var all []Disagreement
	add := func(s Server, problem string, action func(Server) string) {
		if problem != "" {
			all = append(all, Disagreement{Name: cmp.Or(s.Name, s.ID), ID: s.ID, Problem: problem, Action: action(s)})
		}
	}
	for _, s := range v.Servers {
		add(s, v.compare(s, true), v.aboutOurs)
	}
	for _, s := range v.strays() {
		add(s, v.compare(s, false), aboutStray)
	}
	return all
}

// strays are the nodes that a list has and that are no servers of ours, by name: those in Raft first, then those in Serf.
// Anybody may register others in the catalog.
func (v view) strays() []Server {
	var strays []Server
	at := map[string]int{}
	named := func(id, name string) *Server {
		i, known := at[id]
		if !known {
			i = len(strays)
			at[id], strays = i, append(strays, Server{ID: id})
		}
		strays[i].Name = cmp.Or(strays[i].Name, name)
		return &strays[i]
	}
	for _, p := range v.Raft.Peers {
		if !v.ours(p.ID) {
			named(p.ID, p.Name).Peer = &p
		}
	}
	for _, m := range v.Raft.Members {
		if !v.ours(m.ID) {
			named(m.ID, m.Name).Member = v.memberStatus(m.ID)
		}
	}
	for _, n := range v.Raft.Catalog {
		if !v.ours(n.ID) {
			named(n.ID, n.Name).Registration = Registered
		}
	}
	slices.SortFunc(strays, func(a, b Server) int {
		return cmp.Or(
			compareBool(a.Peer == nil, b.Peer == nil),
			compareBool(a.Member == MemberAbsent, b.Member == MemberAbsent),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return strays
}

// compare says which lists have a node and which do not; empty if they agree. They also agree on a node that has left and
// that no other list has: Serf remembers it for a day.
func (v view) compare(s Server, ours bool) string {
	var yes, no []string
	say := func(is bool, positive, negative string) {
		if is {
			yes = append(yes, positive)
		} else {
			no = append(no, negative)
		}
	}
	serf := cmp.Or(string(s.Member), "not") + " in Serf"
	if ours {
		yes = append(yes, "a server of this cluster")
	}
	say(s.Peer != nil, suffrage(s)+" in Raft", "not in Raft")
	say(s.Member == MemberAlive || s.Member == MemberLeaving, serf, serf)
	if v.Raft.CatalogTold {
		say(s.Registration == Registered, "in the catalog", "not in the catalog")
	}
	if !ours {
		no = append(no, "no server of this cluster")
	}
	switch {
	case len(no) == 0, len(yes) == 0 && s.Member != MemberFailed:
		return ""
	case len(yes) == 0:
		return enumerate(no)
	}
	return enumerate(yes) + ", but " + enumerate(no)
}

func suffrage(s Server) string {
	if isVoter(s) {
		return "a voter"
	}
	return "a non-voter"
}

func enumerate(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// aboutStray follows Prune. That Consul's leader cleans up its catalog is from its source: each minute it deregisters
// nodes that Serf has forgotten, if they were registered by Serf.
func aboutStray(s Server) string {
	switch {
	case s.Member == MemberAlive:
		return "none, since it is alive: if it does not belong here, run `consul leave` on it and see that it does not join again"
	case s.Member == MemberLeaving:
		return "the operator waits until it has left"
	case s.Member == MemberFailed && s.Peer != nil:
		return "the operator tells Serf that it has left, then removes it from Raft"
	case s.Member == MemberFailed:
		return "the operator tells Serf that it has left"
	case s.Peer != nil:
		return "the operator removes it from Raft"
	}
	return "none: Consul's leader deregisters it within a minute, unless it was registered by hand"
}

// aboutOurs follows Retire, ReplaceIdle, Create and AwaitServers.
func (v view) aboutOurs(s Server) string {
	held := v.held()
	switch {
	case s.InPlace:
		return "it is updated in place: the operator waits until it is gone from Raft, then starts it again on its volume"
	case s.Retiring:
		return "it retires: the operator waits until it is gone from Raft, then removes its pod and its claim"
	case v.outdated(s) && held != nil:
		return "none for now: " + held.Message
	case s.Failed, s.WrongVolume, isDrained(s):
		return "another server takes its place"
	case v.outdated(s):
		return "it is replaced by one with the wanted revision"
	case s.Member == MemberAlive && s.Peer == nil:
		return "the operator waits: Consul's leader adds it to Raft"
	case s.Member == MemberAlive:
		return "none: Consul's leader registers it"
	case !lostToSerf(s):
		return "the operator waits until it joins"
	}
	return "the operator waits until it is back" + v.unlessBack(s)
}

// unlessBack says what becomes of a server of ours that Serf has lost if it stays away.
func (v view) unlessBack(s Server) string {
	if held := v.held(); held != nil {
		return "; " + held.Message
	}
	if isVoter(s) && v.Spec.ReplaceFailedAfter == 0 {
		return "; it is not replaced, since spec.failureReplacement.after is 0s"
	}
	return v.prospect(s)
}
