package plan

import (
	"slices"
	"strings"
)

// loss is what a cluster without a leader has lost.
type loss struct {
	// survivor has the newest log of all servers that answer; nil if one of them did not tell its Raft configuration.
	survivor *Server
	// answering are those that have joined, each with its Outlook.
	answering []Server
	// gone are the voters without a volume claim that no answering server hears: they cannot come back. lost are the gone
	// voters of the survivor's configuration. The others may have left long ago, which a server that is behind does not know.
	gone, lost []string
	// unknown are the voters that were never servers of this cluster, as far as is known, and that no answering server hears.
	// Nothing tells whether they are gone: they may have a leader of their own. strangers are those of the survivor's
	// configuration.
	unknown, strangers []string
	// down are the servers that do not answer. They may come back; the stuck ones do not come back by themselves.
	down, stuck []string
}

func (v view) loss() loss {
	var l loss
	for i := range v.Servers {
		s := &v.Servers[i]
		switch {
		case !s.Agent.Answered:
			l.down = append(l.down, s.Name)
			if s.Pod != nil && (s.Pod.Problem.Reason != "" || v.overdue(*s)) {
				l.stuck = append(l.stuck, s.Name)
			}
		case s.Agent.Outlook == nil:
			return loss{}
		case len(s.Agent.Outlook.Peers) > 0: // others have never joined, and know nothing
			l.answering = append(l.answering, *s)
			if l.survivor == nil || newer(*s, *l.survivor) {
				l.survivor = s
			}
		}
	}
	l.gone, l.unknown = v.unheard(l, l.outlooks()...)
	if l.survivor != nil {
		l.lost, l.strangers = v.unheard(l, *l.survivor.Agent.Outlook)
	}
	return l
}

func (l loss) outlooks() (all []Outlook) {
	for _, s := range l.answering {
		all = append(all, *s.Agent.Outlook)
	}
	return all
}

// unheard are the voters of these configurations that have no claim and that no server hears: those that were servers of
// this cluster are gone, and of the others it is not known.
func (v view) unheard(l loss, configurations ...Outlook) (gone, unknown []string) {
	for _, o := range configurations {
		for _, p := range o.Peers {
			switch {
			case !p.Voter || v.ours(p.ID) || l.hears(p.ID):
			case p.Ours:
				gone = append(gone, p.Name)
			default:
				unknown = append(unknown, p.Name)
			}
		}
	}
	slices.Sort(gone)
	slices.Sort(unknown)
	return slices.Compact(gone), slices.Compact(unknown)
}

// missing are the servers that a person has to give up for a recovery.
func (l loss) missing() []string {
	return slices.Sorted(slices.Values(slices.Concat(l.lost, l.strangers, l.down)))
}

// newer reports whether a server has a newer log than another one, as Raft compares them.
func newer(a, b Server) bool {
	if a.Agent.LastTerm != b.Agent.LastTerm {
		return a.Agent.LastTerm > b.Agent.LastTerm
	}
	return a.Agent.LastIndex > b.Agent.LastIndex
}

// hears reports whether a server that answers sees a peer alive.
func (l loss) hears(id string) bool {
	return slices.ContainsFunc(l.outlooks(), func(o Outlook) bool {
		return slices.ContainsFunc(o.Members, func(m Member) bool { return m.ID == id && m.Status == MemberAlive })
	})
}

// quorumWithout reports whether any server that answers could be elected without some others, by its own configuration. Nobody
// votes for a server whose log is older: where servers left one after the other, the configuration of one that left early still
// has a quorum that will never elect it.
func (l loss) quorumWithout(names []string) bool {
	return slices.ContainsFunc(l.answering, func(s Server) bool {
		voters, left := 0, 0
		for _, p := range s.Agent.Outlook.Peers {
			if !p.Voter {
				continue
			}
			voters++
			if !slices.Contains(names, p.Name) && !l.hasNewerLog(p.ID, s) {
				left++
			}
		}
		return left > voters/2
	})
}

// hasNewerLog reports whether a peer that answers has a newer log than a server.
func (l loss) hasNewerLog(id string, than Server) bool {
	return slices.ContainsFunc(l.answering, func(s Server) bool { return s.ID == id && newer(s, than) })
}

// acceptLoss is the annotation with which a person gives servers up.
const acceptLoss = "accept-loss-of"

// acceptLossCommand is the command with which a person gives servers up.
func (v view) acceptLossCommand(names []string) string {
	return v.annotateCommand(acceptLoss, strings.Join(names, ","))
}

// AskedToGiveUp returns the servers that a message of a Decision asks a person to give up; none if it asks for none. Only the
// planner knows who has to be named, and its command is where it says so. Of a command that was cut off nothing is believed: the
// names have to be all of them.
func AskedToGiveUp(message string) []string {
	_, command, asked := strings.Cut(message, annotationPrefix+acceptLoss+"=")
	if !asked || strings.ContainsAny(command, " \n…") {
		return nil
	}
	return strings.Split(command, ",")
}
