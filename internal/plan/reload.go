package plan

import (
	"cmp"
	"slices"
	"time"
)

// reloadSettles is how long a server that has read settings again has to be ready before the next one does: longer than the three
// failed probes after which it is not.
const reloadSettles = 15 * time.Second

// reload lets servers read again what Consul can change while it runs, so that no server is replaced for it. A server that is not
// ready has nothing to lose, and may wait for just this. The others go one at a time, the leader last, each when those before it
// have been ready for a while: settings that keep a server from serving stop at one.
func (v view) reload() []Action {
	if v.isHeld() || v.Spec.Recovery != nil {
		return nil
	}
	behind := v.behind()
	unready := filter(behind, func(s Server) bool { return !s.Pod.Ready })
	switch {
	case len(unready) > 0:
		return v.readAgain(unready...)
	case len(behind) > 0 && (v.hasBegun(behind[0]) || v.haveSettled()):
		return v.readAgain(behind[0])
	}
	return nil
}

// behind are the staying servers that have not read the wanted settings, in the order in which they are to.
func (v view) behind() []Server {
	servers := filter(v.staying, v.isBehind)
	slices.SortStableFunc(servers, func(a, b Server) int {
		return cmp.Or(compareBool(!v.hasBegun(a), !v.hasBegun(b)), compareBool(v.leads(a), v.leads(b)))
	})
	return servers
}

// isBehind reports whether a server can read settings again and has not read the wanted ones. Of one that does not answer it is
// known what it was given, and not what it has read.
func (v view) isBehind(s Server) bool {
	return s.Pod != nil && s.Pod.Reloads && !s.Pod.Terminating &&
		(!v.hasBegun(s) || s.Agent.Answered && s.Agent.Settings != v.Spec.Settings)
}

// hasBegun reports whether a server's file has the wanted settings.
func (v view) hasBegun(s Server) bool { return s.Pod.Settings == v.Spec.Settings }

// haveSettled reports whether the servers that have read the wanted settings are ready, and were for a while.
func (v view) haveSettled() bool {
	return !slices.ContainsFunc(v.staying, func(s Server) bool {
		return s.Pod != nil && s.Pod.Reloads && !v.isBehind(s) && (!s.Pod.Ready || v.now.Before(s.Pod.GivenAt.Add(reloadSettles)))
	})
}

// readAgain writes the file first.
func (v view) readAgain(servers ...Server) (actions []Action) {
	for _, s := range servers {
		switch {
		case !v.hasBegun(s):
			actions = append(actions, GiveSettings{Server: s.Name})
		case s.Agent.Answered:
			actions = append(actions, Reload{Server: s.Name})
		}
	}
	return actions
}
