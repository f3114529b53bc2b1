package sim

import "fmt"

// kind of an event. The functions take a slot; a kind that concerns the whole cluster is asked with slot 0 only.
type kind struct {
	name  string
	whole bool
	// unreliable is for what may never happen: nobody may wait for it for ever.
	unreliable bool
	can        func(*State, int) bool
	// do changes the state; it returns the violation of an invariant that the event itself is, if it is one.
	do func(*State, int) *Violation
}

// event is a kind and the slot it happens to.
type event struct {
	kind *kind
	slot int
}

func (e event) String() string {
	if e.kind.whole {
		return e.kind.name
	}
	return fmt.Sprintf("#%d %s", e.slot, e.kind.name)
}

// happen is the state after an event.
func (e event) happen(s *State) (State, *Violation) {
	next := *s
	violation := e.kind.do(&next, e.slot)
	return next, violation
}

// enabled appends the events that can happen.
func enabled(s *State, kinds []*kind, events []event) []event {
	for _, k := range kinds {
		if k.whole {
			if k.can(s, 0) {
				events = append(events, event{k, 0})
			}
			continue
		}
		for i := range s.slots() {
			if k.can(s, i) {
				events = append(events, event{k, i})
			}
		}
	}
	return events
}

// quietly is for events that cannot violate anything by themselves.
func quietly(do func(*State, int)) func(*State, int) *Violation {
	return func(s *State, i int) *Violation {
		do(s, i)
		return nil
	}
}
