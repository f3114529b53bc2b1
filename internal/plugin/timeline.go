package plugin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// The drawing is laid out here, in units that the browser scales to the window; the template only writes it down.
const (
	drawingWidth = 1180.0
	plotLeft     = 130.0
	plotRight    = drawingWidth - 16
	plotTop      = 40.0
	laneHigh     = 34.0
	// leastShown is how much time the drawing shows at least, and usuallyShown how much if nothing has happened.
	leastShown   = 10 * time.Minute
	usuallyShown = time.Hour
)

// timeline is the drawing of what Kubernetes still knows of the past: it forgets events after an hour or so.
type timeline struct {
	Width, Height, Left, Right, Top, Bottom float64
	Ticks                                   []tick
	Lanes                                   []lane
	// Handoff is the last transfer of leadership; nil if it was before.
	Handoff *tick
}

type tick struct {
	At    float64
	Label string
}

// lane is a line of the drawing: a server, or what somebody said.
type lane struct {
	Name      string
	Y, Middle float64
	Bars      []bar
	Marks     []mark
}

type bar struct {
	X, Y, W, H   float64
	Class, Label string
	LabelX       float64
	Hover        string
}

type mark struct {
	X            float64
	Class, Hover string
}

// scale turns times into places.
type scale struct{ from, to time.Time }

func (s scale) x(at time.Time) float64 {
	at = at.Add(min(0, s.to.Sub(at))) // a clock of another machine may be ahead
	return plotLeft + max(0, float64(at.Sub(s.from))/float64(s.to.Sub(s.from)))*(plotRight-plotLeft)
}

func (s scale) shows(at time.Time) bool { return !at.Before(s.from) }

// scale shows all events, and a little more.
func (e *evidence) scale() scale {
	first := e.at.Add(-usuallyShown)
	if len(e.events) > 0 {
		first = happened(e.events[0])
	}
	shown := max(e.at.Sub(first), leastShown)
	return scale{e.at.Add(-shown - shown/20), e.at}
}

func (e *evidence) timeline() timeline {
	s := e.scale()
	t := timeline{Width: drawingWidth, Left: plotLeft, Right: plotRight, Top: plotTop}
	y := plotTop
	add := func(l lane) {
		l.Y, l.Middle = y, y+laneHigh/2
		for i := range l.Bars {
			l.Bars[i].Y += y
		}
		t.Lanes = append(t.Lanes, l)
		y += laneHigh
	}
	add(lane{Name: "conditions", Marks: e.transitions(s)})
	add(lane{Name: "operator", Marks: e.marks(s, func(o corev1.ObjectReference) bool { return o.Kind == "ConsulCluster" })})
	for _, name := range e.serversOfPast() {
		add(e.serverLane(s, name))
	}
	t.Bottom, t.Height = y, y+30
	t.Ticks = s.ticks()
	if h := e.Status.LastHandoff; h != nil && s.shows(h.At.Time) {
		t.Handoff = &tick{s.x(h.At.Time), fmt.Sprintf("%s → %s in %s", h.From, h.To, h.Took.Round(time.Millisecond))}
	}
	return t
}

// serversOfPast are the servers that there are, and those that events tell of: the new ones last.
func (e *evidence) serversOfPast() []string {
	names := serverNames(e.ConsulCluster)
	for _, event := range e.events {
		o := event.InvolvedObject
		_, isServer := resources.Serial(e.Name, o.Name)
		if o.Kind == "Pod" && isServer && !slices.Contains(names, o.Name) {
			names = append(names, o.Name)
		}
	}
	serial := func(name string) int { n, _ := resources.Serial(e.Name, name); return n }
	slices.SortFunc(names, func(a, b string) int { return serial(a) - serial(b) })
	return names
}

// serverLane is a server from the start of its pod on, and what was said of the pod.
func (e *evidence) serverLane(s scale, name string) lane {
	l := lane{Name: name, Marks: e.marks(s, func(o corev1.ObjectReference) bool { return o.Name == name })}
	pod, exists := e.pods[name]
	i := slices.IndexFunc(e.Status.Servers, func(s v1alpha1.ServerStatus) bool { return s.Name == name })
	if i < 0 || !exists {
		return l
	}
	server := e.Status.Servers[i]
	x := s.x(pod.CreationTimestamp.Time)
	label := strings.TrimSpace(string(server.State) + " " + server.Version)
	hover := fmt.Sprintf("%s: %s, revision %s, since %s", name, label, dash(pod.Labels[v1alpha1.LabelRevision]),
		clock(pod.CreationTimestamp.Time))
	drawn := bar{
		X: x, Y: 8, W: max(2, plotRight-x), H: laneHigh - 14, Class: "state-" + strings.ToLower(string(server.State)), Hover: hover,
	}
	if drawn.W > float64(len(label))*6.4+14 {
		drawn.Label, drawn.LabelX = label, x+7
	}
	l.Bars = append(l.Bars, drawn)
	if server.Leader && e.Status.LeaderSince != nil {
		x := s.x(e.Status.LeaderSince.Time)
		l.Bars = append(l.Bars, bar{
			X: x, Y: 3, W: max(2, plotRight-x), H: 4, Class: "crown",
			Hover: fmt.Sprintf("%s leads, term %d, since %s", name, e.Status.Term, clock(e.Status.LeaderSince.Time)),
		})
	}
	return l
}

// transitions are when conditions became what they are.
func (e *evidence) transitions(s scale) (marks []mark) {
	for _, c := range e.Status.Conditions {
		if at := c.LastTransitionTime.Time; !at.IsZero() && s.shows(at) {
			marks = append(marks, mark{s.x(at), "normal", fmt.Sprintf("%s %s is %s: %s", clock(at), c.Type, c.Status, c.Reason)})
		}
	}
	return marks
}

// marks are the events about some objects.
func (e *evidence) marks(s scale, about func(corev1.ObjectReference) bool) (marks []mark) {
	for _, event := range e.events {
		if !about(event.InvolvedObject) {
			continue
		}
		class := "normal"
		if event.Type == corev1.EventTypeWarning {
			class = "warning"
		}
		at := happened(event)
		marks = append(marks, mark{s.x(at), class, fmt.Sprintf("%s %s: %s", clock(at), event.Reason, repeated(event))})
	}
	return marks
}

// ticks are round times, twelve at most.
func (s scale) ticks() (ticks []tick) {
	every := 24 * time.Hour
	for _, candidate := range []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour} {
		if s.to.Sub(s.from)/candidate <= 12 {
			every = candidate
			break
		}
	}
	for at := s.from.UTC().Truncate(every).Add(every); at.Before(s.to); at = at.Add(every) {
		format := "15:04"
		if every > time.Hour {
			format = "02 Jan 15:04"
		}
		ticks = append(ticks, tick{s.x(at), at.Format(format)})
	}
	return ticks
}
