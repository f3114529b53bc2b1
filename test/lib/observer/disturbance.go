package observer

import "time"

// recoveredAfter is for how long a cluster has to be whole until a fault counts as over. A stopped process is noticed
// after answersWithin, and some consequences come later than the fault itself.
const recoveredAfter = 5 * time.Second

// disturbance is a time in which faults are in effect: from the first one until the cluster has recovered from the last.
type disturbance struct {
	from  time.Time // zero when there is none
	whole time.Time // since when the cluster has been whole again
	total time.Duration
}

func (d *disturbance) until(now time.Time) time.Duration {
	if d.from.IsZero() {
		return d.total
	}
	return d.total + now.Sub(d.from)
}

// Disturb is to be called before a fault is injected. It acts as SetFaults(true) until the cluster has recovered, by what the
// observer sees: what a fault does lasts longer than the fault, and nobody who injects it can tell how long.
func (o *Observer) Disturb() { o.update((*model).disturb) }

// ForfeitClaim is to be called before a claim is deleted by whoever injects faults: that is not the operator's doing.
func (o *Observer) ForfeitClaim(name string) {
	o.update(func(m *model, _ time.Time) { m.server(name).claimForfeited = true })
}

// disturbed reports whether a fault is in effect: somebody injected one, or the machine stood still.
func (m *model) disturbed() bool { return !m.disturbance.from.IsZero() }

// faulty reports whether faults are to be expected, so that not every invariant can be asserted.
func (m *model) faulty() bool { return m.faults || m.disturbed() }

func (m *model) disturb(now time.Time) {
	m.disturbance.whole = time.Time{}
	if m.disturbance.from.IsZero() {
		m.disturbance.from = now
	}
}

// heal ends a disturbance when the cluster has been whole for long enough.
func (m *model) heal(now time.Time) {
	d := &m.disturbance
	if !m.disturbed() {
		return
	}
	d.whole = since(d.whole, now, m.whole(now))
	if !d.whole.IsZero() && now.Sub(d.whole) >= recoveredAfter {
		*d = disturbance{total: d.until(now)}
	}
}

// whole says whether somebody leads, as many vote as have to, and every voter answers and goes on doing so on its disk.
func (m *model) whole(now time.Time) bool {
	if m.leader() == "" || now.Sub(m.confirmed) > answersWithin {
		return false
	}
	voters := 0
	for name, p := range m.leaderView.peers {
		if !p.voter {
			continue
		}
		voters++
		s := m.servers[name]
		if !m.healthy(s, now) || s.podDeleting || !s.claimDeleting.IsZero() {
			return false
		}
	}
	return voters >= m.floor
}
