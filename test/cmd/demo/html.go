package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"time"

	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/observer"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

//go:embed report.html
var reportTemplate string

// The drawing is laid out here, in units that the browser scales to the window; the template only writes it down.
const (
	drawingWidth = 1180.0
	plotLeft     = 104.0
	plotRight    = drawingWidth - 16
	latencyTop   = 44.0
	latencyHigh  = 150.0
	failuresHigh = 26.0
	laneHigh     = 34.0
	votersHigh   = 64.0
)

// page is what the template writes down.
type page struct {
	Title, Subtitle, When string
	Good                  bool
	Verdict               string
	Cards                 []card
	Classes               []classRow
	Width, Height         float64
	Left, Right           float64
	Ticks                 []tick
	LatencyTop            float64
	LatencyBottom         float64
	LatencyTicks          []tick
	P50, Max              string // SVG paths
	Failures              []bar
	FailuresTop           float64
	FailuresBottom        float64
	Handoffs              []handoff
	EventsAt              float64
	Events                []mark
	Lanes                 []lane
	VotersTop             float64
	VotersBottom          float64
	VotersPath            string
	WantedAt              float64
	Wanted                int
	VoterTicks            []tick
	PlotTop, PlotBottom   float64
	Violations            []string
	States                []observer.State
	Kinds                 []load.Kind
	Totals                []totals
	Data                  template.JS
}

type card struct{ Name, Value, Note, Class string }

type classRow struct {
	Class string
	Count []int // by kind
}

type totals struct{ Failed, Attempts, Ratio string }

type tick struct {
	At    float64
	Label string
	Major bool
}

type bar struct {
	X, Y, W, H float64
	Hover      string
}

type handoff struct {
	X     float64
	Label string
	// Anchor is the side of the line on which the label fits.
	Anchor string
	LabelX float64
}

type mark struct {
	X                                   float64
	Seconds, Reason, Message, ClassName string
}

type lane struct {
	Name, Versions string
	Y, Middle      float64
	Spans          []span
	Crowns         []crown
}

type span struct {
	X, W, Y, H          float64
	Class, Label, Hover string
	LabelX              float64
}

type crown struct {
	X, W, Y, Middle float64
	Hover           string
	Wide            bool
}

func writeHTML(w io.Writer, o outcome) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"px":     func(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") },
		"number": report.Number,
		"add":    func(a, b float64) float64 { return a + b },
	}).Parse(reportTemplate)
	if err != nil {
		return err
	}
	p, err := newPage(o)
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}

// drawing turns times into places.
type drawing struct {
	outcome
	from, to time.Time
}

func (d drawing) x(at time.Time) float64 {
	if at.Before(d.from) {
		at = d.from
	}
	if at.IsZero() || at.After(d.to) {
		at = d.to
	}
	return plotLeft + float64(at.Sub(d.from))/float64(d.to.Sub(d.from))*(plotRight-plotLeft)
}

// until is the place of the end of something that may last.
func (d drawing) until(at time.Time) float64 {
	if at.IsZero() {
		return plotRight
	}
	return d.x(at)
}

func (d drawing) offset(at time.Time) string { return offset(at.Sub(d.Began)) }

func offset(since time.Duration) string { return fmt.Sprintf("%+.1f s", since.Seconds()) }

func newPage(o outcome) (*page, error) {
	d := drawing{outcome: o, from: o.Load.Start, to: o.Load.End}
	if o.Load.End.IsZero() || !d.to.After(d.from) {
		return nil, fmt.Errorf("there is no load to draw")
	}
	p := &page{
		Title: fmt.Sprintf("Consul %s → %s", o.from, o.to),
		Subtitle: fmt.Sprintf("%s, maxSurge %d, %s writes per second",
			report.Count(o.replicas, "server"), o.surge, report.Number(int(o.Load.Rate()))),
		When:  o.Began.Format("2 January 2006, 15:04"),
		Width: drawingWidth, Left: plotLeft, Right: plotRight,
		Cards: cards(o), Classes: classes(o), Wanted: o.replicas, Kinds: load.Kinds,
		States: []observer.State{
			observer.Starting, observer.Joining, observer.Voting, observer.Serving,
			observer.Retiring, observer.Leaving, observer.Down,
		},
	}
	for _, kind := range load.Kinds {
		t := o.Load.Kinds[kind]
		p.Totals = append(p.Totals, totals{report.Number(t.Failed), report.Number(t.Attempts()), oneIn(t)})
	}
	p.Good = o.verdict() == nil && len(o.Timeline.Violations) == 0
	p.Verdict = verdictOf(o)
	for _, violation := range o.Timeline.Violations {
		p.Violations = append(p.Violations, violation.String())
	}
	y := d.latency(p)
	y = d.failures(p, y)
	y = d.operatorEvents(p, y)
	y = d.lanes(p, y)
	y = d.voters(p, y)
	p.PlotTop, p.PlotBottom = latencyTop, y
	p.Height = y + 30
	d.times(p)
	d.handoffs(p)
	data, err := d.data()
	p.Data = data
	return p, err
}

func verdictOf(o outcome) string {
	if err := o.verdict(); err != nil {
		return strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	if n := len(o.Timeline.Violations); n > 0 {
		return fmt.Sprintf("%d invariants were violated", n)
	}
	return "No acknowledged write lost, one handoff at most, all invariants held"
}

func cards(o outcome) []card {
	class := func(good bool) string {
		if good {
			return "good"
		}
		return "bad"
	}
	gap := o.Load.All.Gap.Length()
	all := o.Load.All
	ratio := "of " + report.Number(all.Attempts())
	if all.Failed > 0 {
		ratio = oneIn(all) + " writes"
	}
	failures := "good"
	if all.Failed*200 > all.Attempts() {
		failures = "bad"
	}
	gapClass := class(gap < time.Second)
	if gap >= 100*time.Millisecond && gap < time.Second {
		gapClass = "fair"
	}
	handovers, _ := o.Timeline.Handovers()
	return []card{
		{"Lost writes", report.Number(len(o.Verified.Lost)), report.Number(o.Verified.Keys) + " keys read back",
			class(len(o.Verified.Lost) == 0)},
		{"Application's lock", o.LockFate(), "by a session of its own node", class(o.LockBroken() == nil)},
		{"Failed writes", report.Number(all.Failed), ratio, failures},
		{"Longest gap", report.Millis(gap), "at " + offset(all.Gap.From.Sub(o.Began)), gapClass},
		{"Leader changes", report.Number(o.Timeline.LeaderChanges), o.succession(), class(handovers <= 1)},
		{"Fewest voters", report.Number(o.Timeline.FewestVoters), fmt.Sprintf("of %d wanted", o.replicas),
			class(o.Timeline.FewestVoters >= o.replicas)},
		{"Duration", report.Seconds(o.Took), "for " + report.Count(o.replicas, "server"), ""},
	}
}

func classes(o outcome) []classRow {
	rows := []classRow{}
	for _, class := range o.Load.All.ByCount() {
		row := classRow{Class: class.Class}
		for _, kind := range load.Kinds {
			row.Count = append(row.Count, o.Load.Kinds[kind].Classes[class.Class])
		}
		rows = append(rows, row)
	}
	return rows
}

// latency draws on a logarithmic scale: two milliseconds and a two-second outage are both to be seen.
func (d drawing) latency(p *page) float64 {
	top, bottom := latencyTop, latencyTop+latencyHigh
	highest := 100 * time.Millisecond
	for _, bucket := range d.Load.Buckets {
		highest = max(highest, bucket.Max)
	}
	low, high := -0.5, math.Ceil(math.Log10(highest.Seconds()*1000)*2)/2
	y := func(latency time.Duration) float64 {
		value := math.Log10(max(latency.Seconds()*1000, 1e-3))
		return bottom - (min(max(value, low), high)-low)/(high-low)*(bottom-top)
	}
	var median, longest strings.Builder
	pen := "M"
	for i, bucket := range d.Load.Buckets {
		if bucket.Acknowledged == 0 {
			pen = "M" // The line has a hole where nothing was acknowledged.
			continue
		}
		x := d.x(d.bucketTime(i))
		fmt.Fprintf(&median, "%s%.1f %.1f", pen, x, y(bucket.P50))
		fmt.Fprintf(&longest, "%s%.1f %.1f", pen, x, y(bucket.Max))
		pen = "L"
	}
	p.P50, p.Max, p.LatencyTop, p.LatencyBottom = median.String(), longest.String(), top, bottom
	for ms := 1.0; math.Log10(ms) <= high; ms *= 10 {
		label := fmt.Sprintf("%.0f ms", ms)
		if ms >= 1000 {
			label = fmt.Sprintf("%.0f s", ms/1000)
		}
		p.LatencyTicks = append(p.LatencyTicks, tick{At: y(time.Duration(ms * float64(time.Millisecond))), Label: label})
	}
	return bottom
}

func (d drawing) bucketTime(i int) time.Time {
	return d.Load.Start.Add(time.Duration(i)*load.BucketWidth + load.BucketWidth/2)
}

func (d drawing) failures(p *page, y float64) float64 {
	top, bottom := y+14, y+14+failuresHigh
	most := 4
	for _, bucket := range d.Load.Buckets {
		most = max(most, bucket.Failed)
	}
	for i, bucket := range d.Load.Buckets {
		if bucket.Failed == 0 {
			continue
		}
		high := max(5, float64(bucket.Failed)/float64(most)*failuresHigh)
		p.Failures = append(p.Failures, bar{
			X: d.x(d.bucketTime(i)) - 1.5, Y: bottom - high, W: 3, H: high,
			Hover: fmt.Sprintf("%s: %s", d.offset(d.bucketTime(i)), report.Count(bucket.Failed, "failed write")),
		})
	}
	p.FailuresTop, p.FailuresBottom = top, bottom
	return bottom
}

func (d drawing) operatorEvents(p *page, y float64) float64 {
	p.EventsAt = y + 26
	for _, event := range d.Timeline.Events {
		if event.At.Before(d.from) || event.At.After(d.to) {
			continue
		}
		p.Events = append(p.Events, mark{
			X: d.x(event.At), Seconds: d.offset(event.At), Reason: event.Reason, Message: event.Message,
			ClassName: strings.ToLower(event.Type),
		})
	}
	return y + 44
}

func (d drawing) lanes(p *page, y float64) float64 {
	for _, server := range d.Timeline.Servers {
		l := lane{Name: server.Name, Y: y, Middle: y + laneHigh/2}
		for _, s := range server.Spans {
			if s.State == observer.Gone || !s.To.IsZero() && s.To.Before(d.from) || s.From.After(d.to) {
				continue
			}
			l.Spans = append(l.Spans, d.span(s, y))
		}
		for _, leadership := range d.Timeline.Leaderships {
			if leadership.Server != server.Name {
				continue
			}
			x, end := d.x(leadership.From), d.until(leadership.To)
			l.Crowns = append(l.Crowns, crown{
				X: x, W: max(2, end-x), Y: y + 3, Middle: (x + end) / 2, Wide: end-x > 260,
				Hover: fmt.Sprintf("%s leads, term %d, from %s", server.Name, leadership.Term, d.offset(leadership.From)),
			})
		}
		if len(l.Spans) > 0 {
			p.Lanes = append(p.Lanes, l)
			y += laneHigh
		}
	}
	return y
}

func (d drawing) span(s observer.Span, y float64) span {
	x, end := d.x(s.From), d.until(s.To)
	drawn := span{
		X: x, W: max(1.5, end-x), Y: y + 7, H: laneHigh - 12, LabelX: x + 7, Class: string(s.State),
		Hover: fmt.Sprintf("%s, Consul %s, from %s", s.State, orUnknown(s.Version), d.offset(s.From)),
	}
	if !s.To.IsZero() {
		drawn.Hover += fmt.Sprintf(" for %s", report.Seconds(s.To.Sub(s.From)))
	}
	label := strings.TrimSpace(string(s.State) + " " + s.Version)
	const letter = 6.4
	switch {
	case drawn.W > float64(len(label))*letter+14:
		drawn.Label = label
	case drawn.W > float64(len(s.State))*letter+14:
		drawn.Label = string(s.State)
	}
	return drawn
}

func orUnknown(version string) string {
	if version == "" {
		return "not known yet"
	}
	return version
}

func (d drawing) voters(p *page, y float64) float64 {
	top, bottom := y+28, y+28+votersHigh
	most := d.replicas + 1
	for _, step := range d.Timeline.Voters {
		most = max(most, step.N)
	}
	at := func(n int) float64 { return bottom - float64(n)/float64(most)*(bottom-top-6) }
	var path strings.Builder
	for i, step := range d.Timeline.Voters {
		if i == 0 {
			fmt.Fprintf(&path, "M%.1f %.1f", d.x(step.At), at(step.N))
			continue
		}
		fmt.Fprintf(&path, "H%.1fV%.1f", d.x(step.At), at(step.N))
	}
	fmt.Fprintf(&path, "H%.1f", plotRight)
	p.VotersTop, p.VotersBottom, p.VotersPath, p.WantedAt = top, bottom, path.String(), at(d.replicas)
	for _, n := range []int{0, d.replicas, most} {
		p.VoterTicks = append(p.VoterTicks, tick{At: at(n), Label: fmt.Sprint(n)})
	}
	return bottom
}

// times puts a tick every few seconds, counted from the patch.
func (d drawing) times(p *page) {
	every := 5 * time.Second
	for _, candidate := range []time.Duration{10, 20, 30, 60, 120, 300} {
		if d.to.Sub(d.from)/every > 16 {
			every = candidate * time.Second
		}
	}
	for at := d.Began; !at.After(d.to); at = at.Add(every) {
		p.Ticks = append(p.Ticks, tick{At: d.x(at), Label: fmt.Sprintf("%.0f s", at.Sub(d.Began).Seconds()), Major: at.Equal(d.Began)})
	}
}

func (d drawing) handoffs(p *page) {
	for i, leadership := range d.Timeline.Leaderships {
		if i == 0 {
			continue
		}
		h := handoff{
			X: d.x(leadership.From), Anchor: "start",
			Label: fmt.Sprintf("♛ %s → %s", d.Timeline.Leaderships[i-1].Server, leadership.Server),
		}
		h.LabelX = h.X + 5
		if h.X > plotRight-170 {
			h.Anchor, h.LabelX = "end", h.X-5
		}
		p.Handoffs = append(p.Handoffs, h)
	}
}

// data is what the tooltip shows: per bucket the acknowledged and failed writes and the latencies in microseconds.
func (d drawing) data() (template.JS, error) {
	buckets := make([][4]int64, 0, len(d.Load.Buckets))
	for _, b := range d.Load.Buckets {
		buckets = append(buckets, [4]int64{int64(b.Acknowledged), int64(b.Failed), b.P50.Microseconds(), b.Max.Microseconds()})
	}
	type led struct {
		Server   string
		Term     uint64
		From, To float64
	}
	var leaders []led
	for _, l := range d.Timeline.Leaderships {
		to := d.to.Sub(d.Began).Seconds()
		if !l.To.IsZero() {
			to = l.To.Sub(d.Began).Seconds()
		}
		leaders = append(leaders, led{l.Server, l.Term, l.From.Sub(d.Began).Seconds(), to})
	}
	raw, err := json.Marshal(map[string]any{
		"from": d.from.Sub(d.Began).Seconds(), "to": d.to.Sub(d.Began).Seconds(), "width": load.BucketWidth.Seconds(),
		"left": plotLeft, "right": plotRight, "buckets": buckets, "leaders": leaders,
	})
	return template.JS(raw), err //nolint:gosec // numbers, and names that json.Marshal escapes for HTML
}
