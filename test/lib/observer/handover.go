package observer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// leadership completes the next one with what is known of how it began.
func (m *model) leadership(last, next Leadership) Leadership {
	next.Version = m.server(next.Server).version
	next.Disturbed = m.disturbed()
	if s := m.servers[last.Server]; s != nil && !s.retiring.IsZero() {
		next.HandoverLost = handoverLost(last, next)
	}
	return next
}

// handoverLost reports whether a retiring leader of Consul 1.19 tried to hand over, its successor was not elected, and then a
// server of Consul 1.19 was. Nobody is to blame: its Raft keeps appending writes while it hands over, and the successor may not
// have the last ones. The term distinguishes it from any other election: there was no leader in a term between the two.
func handoverLost(last, next Leadership) bool {
	return losesHandovers(last.Version) && losesHandovers(next.Version) && next.Term > last.Term+1
}

// losesHandovers reports whether this is Consul 1.19 or older.
func losesHandovers(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(minor)
	return major == "1" && err == nil && n < 20
}

// handovers is the number of changes of leadership that somebody must have wanted.
func (m *model) handovers() int {
	least, _ := Timeline{Leaderships: m.leaderships}.Handovers()
	return least
}

// Handovers is how many changes of leadership were handovers, or should not have happened, at least and at most. A handover
// that Consul 1.19 lost does not count. A change while a fault was in effect may have been wanted, or not.
func (t Timeline) Handovers() (least, most int) {
	for i, l := range t.Leaderships {
		if i == 0 || l.HandoverLost {
			continue
		}
		most++
		if !l.Disturbed {
			least++
		}
	}
	return least, most
}

// DisturbedLeadership reports whether leadership changed while a fault was in effect. Nobody can know then who leads.
func (t Timeline) DisturbedLeadership() bool {
	return slices.ContainsFunc(t.Leaderships[min(1, len(t.Leaderships)):], func(l Leadership) bool { return l.Disturbed })
}

// HandedOver is nil if leadership was handed over n times, and did not change for any other reason that could be avoided.
func (t Timeline) HandedOver(n int) error {
	if least, most := t.Handovers(); least <= n && n <= most {
		return nil
	}
	return fmt.Errorf("leadership changed %d times, %d were planned: %s", t.LeaderChanges, n, succession(t.Leaderships))
}
