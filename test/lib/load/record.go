package load

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// BucketWidth is the resolution of the latency over time.
const BucketWidth = 100 * time.Millisecond

// Counters are totals.
type Counters struct {
	Acknowledged, Failed int
	// LongestGap is the longest time without an acknowledged write until now, the one that lasts included.
	LongestGap time.Duration
	// Rate is acknowledged writes per second, over the last second.
	Rate float64
}

// Result is what happened to a load.
type Result struct {
	Start, End time.Time
	// All writers together, and each kind.
	All   Totals
	Kinds map[Kind]Totals
	// Median and P99 are latencies of acknowledged writes.
	Median, P99 time.Duration
	// Failures, one by one in order of time.
	Failures []Failure
	Buckets  []Bucket
}

// Totals of all writers, or those of one kind.
type Totals struct {
	Acknowledged, Failed int
	// Classes counts the failures by what was answered.
	Classes map[string]int
	Gap     Gap
}

// Attempts is the number of writes that were tried.
func (t Totals) Attempts() int { return t.Acknowledged + t.Failed }

// Gap is the longest time without an acknowledged write.
type Gap struct{ From, To time.Time }

// Length of the gap.
func (g Gap) Length() time.Duration { return g.To.Sub(g.From) }

// Failure is a write that was not acknowledged.
type Failure struct {
	At     time.Time
	Kind   Kind
	Class  string
	Server string
	Took   time.Duration
}

// Bucket sums up the writes that ended within one BucketWidth.
type Bucket struct {
	Acknowledged, Failed int
	P50, Max             time.Duration
}

// Rate is the acknowledged writes per second over the whole load.
func (r Result) Rate() float64 {
	return float64(r.All.Acknowledged) / max(r.End.Sub(r.Start).Seconds(), 1e-9)
}

// recorder takes down every write as it ends.
type recorder struct {
	mu       sync.Mutex
	start    time.Time
	end      time.Time // zero while it runs
	all      tally
	kinds    map[Kind]*tally
	failures []Failure
	buckets  []samples
}

type tally struct {
	acked, failed int
	classes       map[string]int
	lastAck       time.Time
	gap           Gap
}

type samples struct {
	latencies []time.Duration
	failed    int
}

func newTally(start time.Time) tally {
	return tally{classes: map[string]int{}, lastAck: start, gap: Gap{start, start}}
}

func newRecorder(start time.Time) *recorder {
	r := &recorder{start: start, all: newTally(start), kinds: map[Kind]*tally{}}
	for _, kind := range Kinds {
		t := newTally(start)
		r.kinds[kind] = &t
	}
	return r
}

// add records a write that ends now. The class of an acknowledged one is "".
func (r *recorder) add(kind Kind, class, server string, start time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addAt(time.Now(), kind, class, server, start)
}

func (r *recorder) addAt(now time.Time, kind Kind, class, server string, start time.Time) {
	r.all.add(now, class)
	r.kinds[kind].add(now, class)
	bucket := r.bucket(now)
	if class == "" {
		bucket.latencies = append(bucket.latencies, now.Sub(start))
		return
	}
	bucket.failed++
	r.failures = append(r.failures, Failure{At: now, Kind: kind, Class: class, Server: server, Took: now.Sub(start)})
}

func (r *recorder) bucket(now time.Time) *samples {
	i := int(now.Sub(r.start) / BucketWidth)
	for len(r.buckets) <= i {
		r.buckets = append(r.buckets, samples{})
	}
	return &r.buckets[i]
}

func (t *tally) add(now time.Time, class string) {
	if class != "" {
		t.failed++
		t.classes[class]++
		return
	}
	t.acked++
	t.gap = t.gapUntil(now)
	t.lastAck = now
}

// gapUntil is the longest gap, the one that lasts included.
func (t *tally) gapUntil(now time.Time) Gap {
	if now.Sub(t.lastAck) > t.gap.Length() {
		return Gap{t.lastAck, now}
	}
	return t.gap
}

func (t *tally) totals(now time.Time) Totals {
	classes := make(map[string]int, len(t.classes))
	for class, n := range t.classes {
		classes[class] = n
	}
	return Totals{Acknowledged: t.acked, Failed: t.failed, Classes: classes, Gap: t.gapUntil(now)}
}

func (r *recorder) finish(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end.IsZero() {
		r.end = now
	}
}

func (r *recorder) now() time.Time {
	if r.end.IsZero() {
		return time.Now()
	}
	return r.end
}

func (r *recorder) counters(now time.Time) Counters {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := Counters{Acknowledged: r.all.acked, Failed: r.all.failed, LongestGap: r.all.gapUntil(now).Length()}
	const window = int(time.Second / BucketWidth)
	last := int(now.Sub(r.start) / BucketWidth) // Not finished yet, so it is left out.
	for i := max(0, last-window); i < min(last, len(r.buckets)); i++ {
		c.Rate += float64(len(r.buckets[i].latencies))
	}
	return c
}

func (r *recorder) result() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	result := Result{
		Start: r.start, End: now,
		All:      r.all.totals(now),
		Kinds:    map[Kind]Totals{},
		Failures: slices.Clone(r.failures),
	}
	for kind, t := range r.kinds {
		result.Kinds[kind] = t.totals(now)
	}
	var latencies []time.Duration
	for _, s := range r.buckets {
		result.Buckets = append(result.Buckets, s.bucket())
		latencies = append(latencies, s.latencies...)
	}
	if slices.Sort(latencies); len(latencies) > 0 {
		result.Median, result.P99 = latencies[len(latencies)/2], latencies[len(latencies)*99/100]
	}
	return result
}

func (s samples) bucket() Bucket {
	b := Bucket{Acknowledged: len(s.latencies), Failed: s.failed}
	if len(s.latencies) > 0 {
		sorted := slices.Clone(s.latencies)
		slices.Sort(sorted)
		b.P50, b.Max = sorted[len(sorted)/2], sorted[len(sorted)-1]
	}
	return b
}

// ClassCount is how often a failure was seen.
type ClassCount struct {
	Class string
	Count int
}

// ByCount lists the failures, the most frequent first.
func (t Totals) ByCount() []ClassCount {
	counts := make([]ClassCount, 0, len(t.Classes))
	for class, n := range t.Classes {
		counts = append(counts, ClassCount{class, n})
	}
	slices.SortFunc(counts, func(a, b ClassCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Class, b.Class))
	})
	return counts
}
